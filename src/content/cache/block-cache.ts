import { hash } from "node:crypto";
import { ContentChangedError } from "../../domain/content-source.ts";
import type { LocatedFile } from "../located-file.ts";
import type { BlockAccess } from "./block-access.ts";
import { BlockFill, RestFetches, sizeOfBlock } from "./block-fill.ts";
import type { BlockStore } from "./block-store.ts";
import { blockBytes, type CacheObserver, nameOf } from "./blocks.ts";
import { ParkedUpstreams, Upstream } from "./upstreams.ts";

/** A file whose bytes are cached. */
export interface CacheableFile {
  readonly located: LocatedFile;
  /** As in `BlockAddress`. */
  readonly digest: string;
  /** Whether its reading is no use of the cache: nothing is removed for it, and what it reads does not stay longer. */
  readonly isIdle: boolean;
}

export function cacheable(located: LocatedFile, isIdle: boolean): CacheableFile {
  return { located, isIdle, digest: hash("sha256", located.identity).slice(0, 32) };
}

/** Where a reader is in a file. */
export interface ReadPosition {
  readonly file: CacheableFile;
  readonly block: number;
  /** Of the next byte, in the block. */
  readonly at: number;
  /** The last byte that the reader will read, in the file. */
  readonly end: number;
}

/** The blocks of files: from the cache, from a fetch that is running, or from the storage. */
export class BlockCache {
  readonly #store: BlockStore;
  readonly #observer: CacheObserver;
  readonly #parked = new ParkedUpstreams();
  readonly #rests = new RestFetches();
  readonly #fills = new Map<string, BlockFill>();

  constructor(store: BlockStore, observer: CacheObserver) {
    this.#store = store;
    this.#observer = observer;
  }

  async enter(position: ReadPosition): Promise<BlockAccess> {
    const { file, block } = position;
    const address = { file: file.digest, block };
    const name = nameOf(address);
    const stored = this.#fills.has(name) ? undefined : await this.#store.find(address, file.isIdle);
    if (stored !== undefined) {
      this.#observer.entered("hit");
      return stored;
    }
    const start = block * blockBytes;
    const fetch = () => this.#fetch(position, start);
    const running = this.#fills.get(name);
    if (running !== undefined) {
      this.#observer.entered("shared");
      return running.join(fetch);
    }
    if (!this.#store.isWritable) return this.enterDirectly(position);
    this.#observer.entered("miss");
    const ended = () => void this.#fills.delete(name);
    const size = sizeOfBlock(block, file.located.size);
    const parts = {
      store: this.#store,
      parked: this.#parked,
      observer: this.#observer,
      rests: this.#rests,
    };
    const upstream = this.#parked.take(file.digest, start);
    const fill = new BlockFill(parts, { address, size, upstream, mayEvict: !file.isIdle, ended });
    this.#fills.set(name, fill);
    return fill.join(fetch);
  }

  /** Reads a block past the cache. */
  enterDirectly(position: ReadPosition): BlockAccess {
    this.#observer.entered("bypass");
    const { file, block, at } = position;
    const start = block * blockBytes + at;
    let upstream = this.#parked.take(file.digest, start);
    return {
      read: async (into) => {
        upstream ??= this.#fetch(position, start);
        const left = sizeOfBlock(block, file.located.size) - (upstream.position - block * blockBytes);
        const bytes = await upstream.read(into.subarray(0, left));
        if (bytes === 0) throw new ContentChangedError("the file is shorter than it was");
        this.#observer.fetched(bytes);
        if (bytes === left) this.#parked.park(file.digest, upstream);
        return bytes;
      },
      leave: async () => {
        if (upstream === undefined) return;
        if (upstream.position < (block + 1) * blockBytes) upstream.close();
        else this.#parked.withdraw(file.digest, upstream);
      },
    };
  }

  /** Ends all fetches. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#fills.values(), (fill) => fill.abort()));
  }

  /**
   * Requests the bytes from a position on: as far as the reader will read, but whole blocks, and not those that are cached.
   */
  #fetch({ file: { located, digest }, block, end }: ReadPosition, start: number): Upstream {
    const afterLast = Math.floor(end / blockBytes) + 1;
    const cached = this.#store.next({ file: digest, block: block + 1 }) ?? afterLast;
    const endOfBlocks = Math.min(cached, afterLast) * blockBytes;
    return new Upstream(located, { start, end: Math.min(endOfBlocks, located.size) - 1 });
  }
}
