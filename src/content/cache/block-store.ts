import { LRUCache } from "lru-cache";
import type { IndexedBlock } from "./block-index.ts";
import { type BlockAddress, type CacheFailure, type CacheObserver, nameOf } from "./blocks.ts";
import { CacheDirectory, type Draft, type OpenBlock } from "./cache-directory.ts";
import { hasCode } from "./own-files.ts";
import { type CheckedPieces, StoredBlock } from "./stored-block.ts";

/** How long nothing is written after a failure. */
const pauseMs = 10_000;
/** How long further failures are not reported again. */
const warnEveryMs = 3_600_000;
/** Blocks whose checks are remembered. */
const maxChecked = 100_000;
/** How often uses are recorded, for other processes and for the next start. */
const recordMs = 1_000;

export interface BlockStoreOptions {
  /** Bytes of all blocks together. */
  readonly limit: number;
  readonly observer: CacheObserver;
  readonly warn: (message: string) => void;
}

/** A block that is being written. */
export interface NewBlock extends Draft {
  readonly address: BlockAddress;
  readonly bytes: number;
}

/**
 * The blocks of a cache directory, within a limit of bytes. Nothing of it rejects: a directory that fails is reported,
 * and what it was needed for goes on without it.
 */
export class BlockStore implements AsyncDisposable {
  readonly #directory: CacheDirectory;
  readonly #options: BlockStoreOptions;
  #failedAt = Number.NEGATIVE_INFINITY;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  /** What this process has checked, of the blocks that it has read last. */
  readonly #checked = new LRUCache<string, CheckedPieces & Pick<OpenBlock, "identity">>({ max: maxChecked });
  /** One at a time: those that make room must not do so for each other. */
  #reservations: Promise<unknown> = Promise.resolve();
  readonly #recording: NodeJS.Timeout;

  private constructor(directory: CacheDirectory, options: BlockStoreOptions) {
    this.#directory = directory;
    this.#options = options;
    this.#recording = setInterval(() => void this.#recordUses(), recordMs).unref();
    options.observer.opened({ limit: options.limit, used: () => this.usedBytes });
  }

  /** Opens the directory and brings it within the limit. Rejects as `CacheDirectory.open`. */
  static async open(path: string, options: BlockStoreOptions): Promise<BlockStore> {
    const directory = await CacheDirectory.open(path);
    try {
      const store = new BlockStore(directory, options);
      if (await store.#makeRoom(0)) return store;
      throw new Error("no room can be made in it");
    } catch (error) {
      await directory[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** False for a while after a failure. */
  get isWritable(): boolean {
    return !this.#isClosed && performance.now() >= this.#failedAt + pauseMs;
  }

  get usedBytes(): number {
    try {
      return this.#isClosed ? 0 : this.#directory.index.usedBytes;
    } catch {
      return 0;
    }
  }

  /**
   * Opens a block that is cached; undefined when it is not, or can't be read.
   *
   * @param isIdle whether that is no use of the block
   */
  async find(address: BlockAddress, isIdle = false): Promise<StoredBlock | undefined> {
    try {
      const block = this.#directory.index.find(address);
      if (block === undefined) return undefined;
      const opened = await this.#directory.openBlock(address).catch(() => undefined);
      if (opened !== undefined && opened.bytes === block.bytes) {
        if (!isIdle) this.#directory.index.touch(address);
        const { served } = this.#options.observer;
        const checked = this.#checkedOf(address, opened);
        const drop = (reason: "read" | "damaged") => this.#drop(address, reason);
        return new StoredBlock(opened.handle, block, { checked, served, drop });
      }
      await opened?.handle.close();
      await this.#drop(address, opened && "damaged");
    } catch (error) {
      this.#fail("index", error);
    }
    return undefined;
  }

  #checkedOf(address: BlockAddress, { identity }: OpenBlock): CheckedPieces {
    const name = nameOf(address);
    const known = this.#checked.get(name);
    if (known?.identity === identity) return known;
    const checked = { identity, bits: 0 };
    this.#checked.set(name, checked);
    return checked;
  }

  /** The first block of a file from `block` on that is cached; undefined when there is none. */
  next(address: BlockAddress): number | undefined {
    try {
      return this.#directory.index.next(address);
    } catch {
      return undefined;
    }
  }

  /**
   * Begins to write a block; undefined when there is no room for it, or the directory fails.
   *
   * @param mayEvict whether other blocks may be removed for it
   */
  async begin(address: BlockAddress, bytes: number, mayEvict = true): Promise<NewBlock | undefined> {
    if (!this.isWritable) return undefined;
    try {
      const hasRoom = this.#reservations.then(() => this.#makeRoom(bytes, mayEvict));
      this.#reservations = hasRoom.catch(() => {});
      if (!(await hasRoom)) return undefined;
    } catch (error) {
      this.#fail("index", error);
      return undefined;
    }
    try {
      return { address, bytes, ...(await this.#directory.createDraft()) };
    } catch (error) {
      this.#fail("write", error);
      await this.#release(bytes);
      return undefined;
    }
  }

  /** Writes bytes of a block at their place; whether that was possible. */
  async write({ handle }: NewBlock, bytes: Uint8Array, at: number): Promise<boolean> {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        done += (await handle.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
      }
      return true;
    } catch (error) {
      this.#fail("write", error);
      return false;
    }
  }

  /** Makes a block that is written whole available. Its handle stays open. */
  async publish(block: NewBlock, checksums: IndexedBlock["checksums"]): Promise<void> {
    const { address, bytes } = block;
    try {
      await this.#directory.publish(block, address);
    } catch (error) {
      // An operator may empty the directory at any time.
      if (!hasCode(error, "ENOENT")) this.#fail("write", error);
      return this.discard(block);
    }
    try {
      await this.#directory.index.add(address, { bytes, checksums });
    } catch (error) {
      this.#fail("index", error);
      await this.#directory.remove([address]).catch(() => {});
      await this.#release(bytes);
    }
  }

  /** Gives up a block that is not whole. Its handle stays open. */
  async discard(block: NewBlock): Promise<void> {
    await this.#directory.removeDraft(block).catch((error: unknown) => this.#fail("write", error));
    await this.#release(block.bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#recording);
    await this.#reservations;
    await this.#directory[Symbol.asyncDispose]();
  }

  /** Reserves room, by removing blocks that were not used for the longest time; whether there is any. */
  async #makeRoom(bytes: number, mayEvict = true): Promise<boolean> {
    if (bytes > this.#options.limit) return false;
    for (;;) {
      const victims = await this.#directory.index.reserve(bytes, this.#options.limit, mayEvict);
      if (victims === "reserved") return true;
      if (victims.length === 0) return false;
      await this.#directory.remove(victims);
      this.#options.observer.evicted(victims.length);
    }
  }

  async #release(bytes: number): Promise<void> {
    await this.#directory.index.release(bytes).catch((error: unknown) => this.#fail("index", error));
  }

  /** Forgets a block that can't be used. */
  async #drop(address: BlockAddress, reason?: CacheFailure): Promise<void> {
    if (reason !== undefined) this.#options.observer.failed(reason);
    await this.#directory.remove([address]).catch((error: unknown) => this.#fail("index", error));
  }

  async #recordUses(): Promise<void> {
    const { index } = this.#directory;
    if (index.hasTouched) await index.recordUses().catch((error: unknown) => this.#fail("index", error));
  }

  #fail(reason: CacheFailure, error: unknown): void {
    if (this.#isClosed) return;
    this.#failedAt = performance.now();
    this.#options.observer.failed(reason);
    if (this.#failedAt < this.#warnedAt + warnEveryMs) return;
    this.#warnedAt = this.#failedAt;
    const why = causes[(error as NodeJS.ErrnoException).code ?? ""] ?? "it can't be used";
    this.#options.warn(`nothing is cached for now, and files are read from the storage: ${why}`);
  }
}

/** What is wrong with the directory, for the operator. */
const causes: Readonly<Record<string, string | undefined>> = {
  EACCES: "the cache directory can't be written to",
  EDQUOT: "the quota of the cache directory is used up",
  EIO: "the disk of the cache directory has errors",
  EROFS: "the cache directory is read only",
  ENOSPC: "the disk of the cache directory is full",
};
