import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
  resolveRange,
} from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import type { ObjectRefusal, S3Bucket } from "./bucket.ts";
import { directUri } from "./direct-uri.ts";
import type { ListedFile } from "./listings.ts";

/** Breaks in a row, without a byte between them, after which a reader gives up. */
const maxBreaks = 4;
const firstPauseMs = 100;
/** How long no byte may come before a body counts as broken. */
const silenceMs = 5_000;

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

type OpenRange = (range: ByteRange, abort: AbortSignal) => Promise<Readable | ObjectRefusal>;

class S3Reader implements ContentReader {
  readonly #open: OpenRange;
  readonly #closed: AbortSignal;
  readonly #end: number;
  #position: number;
  #body: AsyncIterator<Buffer> | undefined;
  #stream: Readable | undefined;
  /** Bytes that the body gave and that have not been read yet. */
  #rest: Uint8Array = new Uint8Array();
  #breaks = 0;

  constructor(open: OpenRange, { start, end }: ByteRange, closed: AbortSignal) {
    this.#open = open;
    this.#closed = closed;
    this.#position = start;
    this.#end = end;
  }

  async read(into: Uint8Array): Promise<number> {
    const length = Math.min(into.byteLength, this.#end + 1 - this.#position);
    this.#throwIfClosed();
    if (length === 0) return 0;
    if (this.#rest.byteLength === 0) this.#rest = await this.#next();
    const bytes = this.#rest.subarray(0, length);
    into.set(bytes);
    this.#rest = this.#rest.subarray(bytes.byteLength);
    this.#position += bytes.byteLength;
    if (this.#position > this.#end) this.#finish();
    return bytes.byteLength;
  }

  /** Reads to the end of the body, so that its connection can be used again. */
  #finish(): void {
    const stream = this.#stream;
    this.#body?.next().then(
      ({ done }) => done || stream?.destroy(),
      () => {},
    );
    this.#body = undefined;
  }

  /** The next bytes, at least one; repeats the request for the rest of the range when the body breaks. */
  async #next(): Promise<Uint8Array> {
    for (;;) {
      let reason: unknown;
      try {
        const { value, done } = await this.#piece();
        // Bytes beyond the range are not read; a body that ends early is broken.
        if (!done && value.byteLength > 0) {
          this.#breaks = 0;
          return value;
        }
        if (!done) continue;
        reason = new Error(`the body ended before byte ${this.#position}`);
      } catch (error) {
        this.#throwIfClosed();
        if (error instanceof ContentChangedError || error instanceof ServiceError) throw error;
        reason = error;
      }
      this.#stream?.destroy();
      this.#body = undefined;
      this.#breaks += 1;
      if (this.#breaks >= maxBreaks) throw new ServiceError("downlease.content.unavailable", [], reason);
      await delay(firstPauseMs * 2 ** (this.#breaks - 1), undefined, { signal: this.#closed }).catch(
        () => {},
      );
      this.#throwIfClosed();
    }
  }

  async #piece(): Promise<IteratorResult<Buffer>> {
    this.#body ??= await this.#begin();
    const stream = this.#stream!;
    const timer = setTimeout(() => stream.destroy(new Error(`nothing came for ${silenceMs} ms`)), silenceMs);
    try {
      return await this.#body.next();
    } finally {
      clearTimeout(timer);
    }
  }

  async #begin(): Promise<AsyncIterator<Buffer>> {
    const answer = await this.#open({ start: this.#position, end: this.#end }, this.#closed);
    if (answer === "changed") throw new ContentChangedError("the object changed while it was being read");
    if (answer === "denied") throw new ServiceError("downlease.content.unavailable", [], new Error("denied"));
    this.#stream = answer;
    return answer[Symbol.asyncIterator]();
  }

  #throwIfClosed(): void {
    if (this.#closed.aborted) throw new Error("the file is closed");
  }
}
