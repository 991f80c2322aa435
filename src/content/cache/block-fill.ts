import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { ContentChangedError } from "../../domain/content-source.ts";
import { type BlockAccess, BlockLost } from "./block-access.ts";
import type { BlockStore, NewBlock } from "./block-store.ts";
import { type BlockAddress, blockBytes, type CacheObserver, pieceBytes } from "./blocks.ts";
import type { ParkedUpstreams, Upstream } from "./upstreams.ts";

export interface FillParts {
  readonly store: BlockStore;
  readonly parked: ParkedUpstreams;
  readonly observer: CacheObserver;
  readonly rests: RestFetches;
}

export interface FillOptions {
  readonly address: BlockAddress;
  /** Bytes of the block. */
  readonly size: number;
  /** Whether other blocks may be removed for it. */
  readonly mayEvict: boolean;
  /** A request that goes on with this block. */
  readonly upstream: Upstream | undefined;
  /** Called once, when the fetch ends in any way. */
  ended(): void;
}

/** Buffer for the rest of a block that its last reader does not need. */
const restBytes = 256 * 1024;
/** How many rests are fetched at a time: nobody waits for them, so nothing else bounds them. */
export const maxRests = 64;

/** The fetches of the rests of blocks, of all files. */
export class RestFetches {
  #running = 0;

  /** Runs a fetch, if there are not too many. */
  async run(fetch: () => Promise<void>): Promise<void> {
    if (this.#running >= maxRests) return;
    this.#running++;
    try {
      await fetch();
    } finally {
      this.#running--;
    }
  }
}

/**
 * A block on its way from the storage, for all readers of this process that need it. The reader that is the first to need
 * the next bytes fetches them into its own buffer and writes them to the file that all others read from. So the fetch is
 * as fast as its fastest reader, does not wait for slow ones, needs no memory, and ends when nobody reads.
 */
export class BlockFill {
  readonly #parts: FillParts;
  readonly #options: FillOptions;
  readonly #draft: Promise<NewBlock | undefined>;
  readonly #checksums: Uint32Array;
  #handle: FileHandle | undefined;
  #upstream: Upstream | undefined;
  /** Bytes that are in the file. */
  #filled = 0;
  /** The fetch of the next bytes. Never rejects. */
  #fetching: Promise<void> | undefined;
  /** Why no more bytes will come. */
  #failure: unknown;
  #hasEnded = false;
  #isDiscarded = false;
  #users = 0;

  constructor(parts: FillParts, options: FillOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#upstream = options.upstream;
    this.#draft = parts.store.begin(options.address, options.size, options.mayEvict);
    this.#checksums = new Uint32Array(Math.ceil(options.size / pieceBytes));
  }

  /** @param fetch makes the request for the block, when no other reader has made it */
  join(fetch: () => Upstream): BlockAccess {
    this.#users++;
    let hasLeft = false;
    return {
      read: (into, at) => this.#read(into, at, fetch),
      leave: async (isDone) => {
        if (hasLeft) return;
        hasLeft = true;
        if (isDone && this.#users === 1) await this.#parts.rests.run(() => this.#fetchRest(fetch));
        this.#users--;
        if (this.#users === 0) await this.#close();
      },
    };
  }

  async #read(into: Uint8Array, at: number, fetch: () => Upstream): Promise<number> {
    for (;;) {
      if (at < this.#filled) {
        const length = Math.min(into.byteLength, this.#filled - at);
        const { bytesRead } = await this.#handle!.read(into, 0, length, at).catch((cause: unknown) => {
          throw new BlockLost("storage", { cause });
        });
        if (bytesRead === 0) throw new BlockLost("storage");
        this.#parts.observer.served(bytesRead);
        return bytesRead;
      }
      if (this.#fetching === undefined) {
        const from = this.#filled;
        const bytes = await this.#fetch(into, fetch);
        if (at === from) return bytes;
      } else await this.#fetching;
    }
  }

  /** Fetches the next bytes into a buffer and writes them to the file; rejects as all later reads will. */
  async #fetch(into: Uint8Array, fetch: () => Upstream): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#fetching = promise;
    try {
      this.#upstream ??= fetch();
      const bytes = await this.#upstream.read(into.subarray(0, this.#options.size - this.#filled));
      if (bytes === 0) throw new ContentChangedError("the file is shorter than it was");
      this.#parts.observer.fetched(bytes);
      await this.#keep(into.subarray(0, bytes));
      return bytes;
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      this.#fetching = undefined;
      resolve();
    }
  }

  /** Writes the next bytes. Where that is not possible, readers that do not have them are sent elsewhere. */
  async #keep(bytes: Uint8Array): Promise<void> {
    const draft = await this.#draft;
    this.#handle = draft?.handle;
    const isKept = draft !== undefined && (await this.#parts.store.write(draft, bytes, this.#filled));
    if (!isKept) this.#fail(new BlockLost("storage"));
    // Nobody needs it any more, or it can't be written.
    if (!isKept || this.#hasEnded) return;
    this.#addToChecksums(bytes);
    this.#filled += bytes.byteLength;
    if (this.#filled === this.#options.size) await this.#publish(draft);
  }

  #addToChecksums(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength; ) {
      const at = this.#filled + done;
      const piece = Math.floor(at / pieceBytes);
      const part = bytes.subarray(done, done + (piece + 1) * pieceBytes - at);
      this.#checksums[piece] = crc32(part, this.#checksums[piece]);
      done += part.byteLength;
    }
  }

  async #publish(draft: NewBlock): Promise<void> {
    this.#end();
    await this.#parts.store.publish(draft, this.#checksums);
    this.#options.ended();
  }

  /** Ends the fetch, also when it has readers. */
  async abort(): Promise<void> {
    this.#fail(new Error("the cache is closed"));
    await this.#fetching;
    await this.#discard();
  }

  #fail(reason: unknown): void {
    if (this.#hasEnded) return;
    this.#failure = reason;
    this.#end();
    this.#options.ended();
  }

  /** Leaves the request to the reader of what follows; one that has failed is closed with the block. */
  #end(): void {
    this.#hasEnded = true;
    const upstream = this.#upstream;
    if (upstream === undefined) return;
    const isUsable = this.#failure === undefined || this.#failure instanceof BlockLost;
    if (isUsable) this.#parts.parked.park(this.#options.address.file, upstream);
    else upstream.close();
  }

  /** Fetches what is missing of a block that has been begun, so that its part was not fetched in vain. */
  async #fetchRest(fetch: () => Upstream): Promise<void> {
    if (this.#filled === 0) return;
    const buffer = new Uint8Array(Math.min(restBytes, this.#options.size - this.#filled));
    while (!this.#hasEnded) {
      if (this.#fetching === undefined) await this.#fetch(buffer, fetch).catch(() => {});
      else await this.#fetching;
    }
  }

  /** Nobody reads any more. */
  async #close(): Promise<void> {
    const upstream = this.#upstream;
    if (!this.#hasEnded) {
      this.#fail(new Error("the file is closed"));
      await this.#fetching;
    } else if (upstream !== undefined) this.#parts.parked.withdraw(this.#options.address.file, upstream);
    if (this.#failure !== undefined) await this.#discard();
    await (await this.#draft)?.handle.close();
  }

  async #discard(): Promise<void> {
    const draft = await this.#draft;
    if (draft === undefined || this.#isDiscarded) return;
    this.#isDiscarded = true;
    await this.#parts.store.discard(draft);
  }
}

/** Bytes of a block of a file. */
export function sizeOfBlock(block: number, fileBytes: number): number {
  return Math.min(blockBytes, fileBytes - block * blockBytes);
}
