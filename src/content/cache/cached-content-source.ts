import type { ContentFile, ContentSource } from "../../domain/content-source.ts";
import type { LocatingSource } from "../located-file.ts";
import { BlockCache, cacheable } from "./block-cache.ts";
import { BlockStore } from "./block-store.ts";
import type { CacheObserver } from "./blocks.ts";
import { CachedFile } from "./cached-file.ts";

export interface CacheOptions {
  /** The cache directory. */
  readonly path: string;
  /** Bytes of all that is cached. */
  readonly limit: number;
  readonly observer?: CacheObserver | undefined;
  readonly warn?: ((message: string) => void) | undefined;
}

/** A source whose files are cached on a disk. What is in the source comes from the source itself. */
export class CachedContentSource implements ContentSource, AsyncDisposable {
  readonly #source: LocatingSource;
  readonly #store: BlockStore;
  readonly #cache: BlockCache;

  private constructor(source: LocatingSource, store: BlockStore, observer: CacheObserver) {
    this.#source = source;
    this.#store = store;
    this.#cache = new BlockCache(store, observer);
  }

  /** Rejects with an Error for the operator when the directory can't be used. */
  static async open(
    source: LocatingSource,
    { path, limit, observer = silent, warn = () => {} }: CacheOptions,
  ): Promise<CachedContentSource> {
    const store = await BlockStore.open(path, { limit, observer, warn }).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`the cache directory can't be used: ${reason}`, { cause: error });
    });
    return new CachedContentSource(source, store, observer);
  }

  get id() {
    return this.#source.id;
  }

  get location() {
    return this.#source.location;
  }

  libraries() {
    return this.#source.libraries();
  }

  library(libraryId: string) {
    return this.#source.library(libraryId);
  }

  items(libraryId?: string) {
    return this.#source.items(libraryId);
  }

  item(itemId: string) {
    return this.#source.item(itemId);
  }

  contents(itemId: string, expectedVersion?: string) {
    return this.#source.contents(itemId, expectedVersion);
  }

  async openFile(
    itemId: string,
    fileName: string,
    contentVersion: string,
    isIdle = false,
  ): Promise<ContentFile | undefined> {
    const located = await this.#source.locate(itemId, fileName, contentVersion);
    if (located === undefined) return undefined;
    return new CachedFile(this.#cache, cacheable(located, isIdle), () => this.#source.forget(itemId));
  }

  async directUri(...which: Parameters<NonNullable<ContentSource["directUri"]>>) {
    return this.#source.directUri?.(...which);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache.close();
    await this.#store[Symbol.asyncDispose]();
  }
}

const silent: CacheObserver = {
  entered() {},
  served() {},
  fetched() {},
  evicted() {},
  failed() {},
  opened() {},
};
