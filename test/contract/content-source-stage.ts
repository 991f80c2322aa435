import { afterEach, beforeEach } from "vitest";
import type { ContentSource } from "../../src/domain/content-source.ts";

/** Empty storage for a test, with the sources that read it. */
export interface ContentStorage extends AsyncDisposable {
  /** A source on the storage, as a replica of its own would have. */
  open(): Promise<ContentSource>;
  /** Writes `library/item/file`, or a metadata file, with a modification time later than those of all earlier calls. */
  put(path: string, content: string | Uint8Array): Promise<void>;
  /** Removes a file, an item or a library. Where the storage records it, the removal of a file changes its item, as late as a `put` would. */
  remove(path: string): Promise<void>;
  /** Makes the whole storage unreachable. */
  breakDown(): Promise<void>;
  /** Whether sources notice new and removed items at once, or only within seconds. */
  readonly noticesAtOnce: boolean;
  /** Whether the storage records when a file was removed. */
  readonly recordsRemovals: boolean;
  /** Whether sources keep bytes of versions that were replaced. */
  readonly keepsVersions?: boolean;
  /** Checks expectations that hold once sources have noticed earlier changes. */
  noticed(expectations: () => Promise<void>): Promise<unknown>;
  /** The warnings of the sources. */
  readonly warnings: readonly string[];
}

/** One storage for each test, and how a suite fills it. */
export interface ContentStage {
  readonly storage: ContentStorage;
  /** Writes a metadata file. */
  declare(path: string, metadata: object): Promise<void>;
  /** Writes an item with this id and one file, `data`. */
  putItem(path: string, id: string): Promise<void>;
}

/** Sets up a stage for each test of the suite that it is called in. */
export function useContentStage(createStorage: () => Promise<ContentStorage>): ContentStage {
  let storage: ContentStorage;
  beforeEach(async () => {
    storage = await createStorage();
  });
  afterEach(() => storage[Symbol.asyncDispose]());
  const declare = (path: string, metadata: object) => storage.put(path, JSON.stringify(metadata));
  return {
    get storage() {
      return storage;
    },
    declare,
    async putItem(path, id) {
      await declare(`${path}/.item.json`, { id });
      await storage.put(`${path}/data`, `content of ${path}`);
    },
  };
}
