import { setTimeout as delay } from "node:timers/promises";
import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
  resolveRange,
} from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import { isTemporary, type ObjectRefusal, ReadDenied, type S3Bucket } from "./bucket.ts";
import { directUri } from "./direct-uri.ts";
import type { Body } from "./http/body.ts";
import type { ListedFile } from "./listings.ts";

/** Breaks in a row, without a byte between them, after which a reader gives up. */
const maxBreaks = 4;
/** Before the second request; twice as long before each further one. Half of it is random. */
const firstPauseMs = 200;

/** An object in the version of its ETag. Each reader has a request of its own, from its first read on. */
export class S3File implements ContentFile {
  readonly size: number;
  readonly version: string;
  readonly etag?: string;
  readonly #bucket: S3Bucket;
  readonly #file: ListedFile;
  readonly #closing = new AbortController();

  constructor(bucket: S3Bucket, file: ListedFile) {
    const { size, version, object } = file;
    this.size = size;
    this.version = version;
    if (isStrongTag(object.etag)) this.etag = object.etag;
    this.#bucket = bucket;
    this.#file = file;
  }

  directUri(lifetimeMs: number): Promise<string | undefined> {
    return directUri(this.#bucket, this.#file, lifetimeMs);
  }

  reader(range?: ByteRange): ContentReader {
    const whole = resolveRange(this.size, range);
    return new S3Reader(
      (rest, signal) => this.#bucket.open(this.#file.object, rest, signal),
      whole,
      this.#closing.signal,
    );
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Whether it can be sent on as it is (RFC 9110, section 8.8.3). */
function isStrongTag(etag: string): boolean {
  return /^"[!#-~]+"$/.test(etag);
}

type OpenRange = (range: ByteRange, abort: AbortSignal) => Promise<Body | ObjectRefusal>;

class S3Reader implements ContentReader {
  readonly #open: OpenRange;
  readonly #closed: AbortSignal;
  readonly #start: number;
  readonly #end: number;
  #position: number;
  #body: Body | undefined;
  #breaks = 0;

  constructor(open: OpenRange, { start, end }: ByteRange, closed: AbortSignal) {
    this.#open = open;
    this.#closed = closed;
    this.#start = start;
    this.#position = start;
    this.#end = end;
    closed.addEventListener("abort", () => this.#body?.destroy(), { once: true });
  }

  async read(into: Uint8Array): Promise<number> {
    const length = Math.min(into.byteLength, this.#end + 1 - this.#position);
    this.#throwIfClosed();
    if (length === 0) return 0;
    const bytes = await this.#next(length === into.byteLength ? into : into.subarray(0, length));
    this.#position += bytes;
    return bytes;
  }

  /** Reads at least one byte; repeats the request for the rest of the range when the body breaks. */
  async #next(into: Uint8Array): Promise<number> {
    for (;;) {
      const reason = await this.#attempt(into);
      if (typeof reason === "number") return reason;
      this.#body?.destroy();
      this.#body = undefined;
      this.#breaks += 1;
      if (this.#breaks >= maxBreaks) throw new ServiceError("downlease.content.unavailable", [], reason);
      const pauseMs = firstPauseMs * 2 ** (this.#breaks - 1) * (0.5 + Math.random() / 2);
      await delay(pauseMs, undefined, { signal: this.#closed }).catch(() => {});
      this.#throwIfClosed();
    }
  }

  /** Reads once; resolves with the number of bytes, or with the reason when it is worth another attempt. */
  async #attempt(into: Uint8Array): Promise<number | Error> {
    try {
      this.#body ??= await this.#begin();
      const bytes = await this.#body.read(into);
      this.#throwIfClosed();
      if (bytes === 0) return new Error(`the body ended before byte ${this.#position}`);
      this.#breaks = 0;
      return bytes;
    } catch (error) {
      this.#throwIfClosed();
      if (error instanceof ContentChangedError) throw error;
      // While no byte was given, the caller can still send another answer.
      const isFirst = this.#position === this.#start;
      if (error instanceof ServiceError && (isFirst || !isTemporary(error))) throw error;
      return error as Error;
    }
  }

  async #begin(): Promise<Body> {
    const answer = await this.#open({ start: this.#position, end: this.#end }, this.#closed);
    if (answer === "changed") throw new ContentChangedError("the object changed while it was being read");
    if (answer === "denied") throw new ServiceError("downlease.content.unavailable", [], new ReadDenied());
    if (this.#closed.aborted) answer.destroy();
    return answer;
  }

  #throwIfClosed(): void {
    if (this.#closed.aborted) throw new Error("the file is closed");
  }
}
