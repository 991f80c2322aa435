import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
  resolveRange,
} from "../../domain/content-source.ts";
import { type BlockAccess, BlockLost } from "./block-access.ts";
import type { BlockCache, CacheableFile } from "./block-cache.ts";
import { blockBytes } from "./blocks.ts";

/** A file of a content source whose bytes come from the cache where it has them. */
export class CachedFile implements ContentFile {
  readonly size: number;
  readonly version: string;
  readonly etag?: string;
  /** The file in the storage; its bytes are not read. */
  readonly #origin: ContentFile;
  readonly #cache: BlockCache;
  readonly #file: CacheableFile;
  readonly #changed: () => void;
  readonly #readers = new Set<CachedReader>();
  #isClosed = false;

  /** @param changed called when the file was found to be another one in the storage */
  constructor(cache: BlockCache, file: CacheableFile, changed: () => void) {
    this.size = file.located.size;
    this.version = file.located.version;
    this.#origin = file.located.open();
    if (this.#origin.etag !== undefined) this.etag = this.#origin.etag;
    this.#cache = cache;
    this.#file = file;
    this.#changed = changed;
  }

  reader(range?: ByteRange): ContentReader {
    const reader = new CachedReader(this.#cache, this.#file, resolveRange(this.size, range));
    this.#readers.add(reader);
    return { read: (into) => this.#read(reader, into) };
  }

  async directUri(lifetimeMs: number): Promise<string | undefined> {
    return this.#origin.directUri?.(lifetimeMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#origin.close();
    await Promise.all(Array.from(this.#readers, (reader) => reader.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #read(reader: CachedReader, into: Uint8Array): Promise<number> {
    if (this.#isClosed) throw new Error("the file is closed");
    try {
      const bytes = await reader.read(into);
      if (!this.#isClosed) return bytes;
    } catch (error) {
      if (this.#isClosed) throw new Error("the file is closed", { cause: error });
      if (error instanceof ContentChangedError) this.#changed();
      throw error;
    }
    throw new Error("the file is closed");
  }
}

/** Reads a range, block by block. */
class CachedReader implements ContentReader {
  readonly #cache: BlockCache;
  readonly #file: CacheableFile;
  readonly #end: number;
  #position: number;
  #access: { readonly block: number; readonly access: BlockAccess } | undefined;
  #isClosed = false;
  #running: Promise<number> | undefined;

  constructor(cache: BlockCache, file: CacheableFile, { start, end }: ByteRange) {
    this.#cache = cache;
    this.#file = file;
    this.#position = start;
    this.#end = end;
  }

  read(into: Uint8Array): Promise<number> {
    this.#running = this.#read(into);
    return this.#running;
  }

  /** Ends the fetch that only this reader needs, and a running read with it; waits for one that others need as well. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#leave(false);
    await this.#running?.catch(() => {});
    // A read that was about to begin with a block.
    await this.#leave(false);
  }

  async #read(into: Uint8Array): Promise<number> {
    const part = into.subarray(0, Math.min(into.byteLength, this.#end + 1 - this.#position));
    if (part.byteLength === 0) return 0;
    for (let lost: BlockLost["from"] | undefined; ; ) {
      const access = await this.#enter(lost);
      if (this.#isClosed) throw new Error("the file is closed");
      try {
        const bytes = await access.read(part, this.#position % blockBytes);
        this.#position += bytes;
        if (this.#position > this.#end) this.#leave(true).catch(() => {});
        return bytes;
      } catch (error) {
        if (!(error instanceof BlockLost)) {
          await this.#leave(false);
          throw error;
        }
        // Twice in a row is too often.
        lost = lost === undefined ? error.from : "storage";
      }
    }
  }

  /** The access to the block of the next byte. @param lost set when the access to it until now is lost */
  async #enter(lost: BlockLost["from"] | undefined): Promise<BlockAccess> {
    const block = Math.floor(this.#position / blockBytes);
    if (lost === undefined && this.#access?.block === block) return this.#access.access;
    const position = { file: this.#file, block, at: this.#position % blockBytes, end: this.#end };
    const access =
      lost === "storage" ? this.#cache.enterDirectly(position) : await this.#cache.enter(position);
    // Only now: the request of the last access goes on with this one.
    await this.#leave(lost === undefined);
    this.#access = { block, access };
    return access;
  }

  async #leave(isDone: boolean): Promise<void> {
    const access = this.#access?.access;
    this.#access = undefined;
    await access?.leave(isDone);
  }
}
