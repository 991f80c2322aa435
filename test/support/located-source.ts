import { randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import type { LocatedFile, LocatingSource } from "../../src/content/located-file.ts";
import type { ContentFile, ContentReader } from "../../src/domain/content-source.ts";

/** A request for a range of a file. */
export interface Fetch {
  readonly start: number;
  readonly end: number;
  /** Bytes given so far. */
  given: number;
  isClosed: boolean;
}

/** A file in a storage that counts what is fetched. */
export class StorageFile {
  bytes: Buffer;
  identity: string;
  readonly fetches: Fetch[] = [];
  /** Called before each read with the position in the file; may wait or throw. */
  onRead: (position: number) => Promise<void> | void = () => turn();
  /** Bytes that one read gives at most. */
  maxReadBytes = 100_000;

  constructor(size: number, identity = crypto.randomUUID() as string) {
    this.bytes = randomBytes(size);
    this.identity = identity;
  }

  /** Bytes of all requests. */
  get fetched(): number {
    return this.fetches.reduce((sum, { given }) => sum + given, 0);
  }

  get located(): LocatedFile {
    const { identity, bytes } = this;
    return { size: bytes.length, version: identity, identity, open: () => this.#open() };
  }

  #open(): ContentFile {
    const closing = new AbortController();
    const { signal } = closing;
    const close = async () => closing.abort(new Error("closed"));
    return {
      size: this.bytes.length,
      version: this.identity,
      reader: (range) => this.#reader(range ?? { start: 0, end: this.bytes.length - 1 }, signal),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  #reader({ start, end }: { start: number; end: number }, signal: AbortSignal): ContentReader {
    const fetch: Fetch = { start, end, given: 0, isClosed: false };
    signal.addEventListener("abort", () => {
      fetch.isClosed = true;
    });
    return {
      read: async (into) => {
        if (fetch.given === 0) this.fetches.push(fetch);
        const closed = Promise.withResolvers<never>();
        const onAbort = () => closed.reject(signal.reason);
        signal.addEventListener("abort", onAbort);
        try {
          await Promise.race([this.onRead(start + fetch.given), closed.promise]);
        } finally {
          signal.removeEventListener("abort", onAbort);
        }
        signal.throwIfAborted();
        const at = start + fetch.given;
        const part = this.bytes.subarray(at, Math.min(end + 1, at + into.length, at + this.maxReadBytes));
        into.set(part);
        fetch.given += part.length;
        return part.length;
      },
    };
  }
}

/** A source of items with one file each, by their ids; the file's identity is the content version. */
export function sourceOf(
  files: Readonly<Record<string, StorageFile>>,
): LocatingSource & { forgotten: string[] } {
  const forgotten: string[] = [];
  const source: Partial<LocatingSource> & { forgotten: string[] } = {
    forgotten,
    locate: async (itemId, _, contentVersion) => {
      const file = files[itemId];
      return file?.identity === contentVersion ? file.located : undefined;
    },
    forget: (itemId) => void forgotten.push(itemId),
  };
  return source as LocatingSource & { forgotten: string[] };
}
