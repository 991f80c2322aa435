import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ItemEntry } from "../../domain/content-source.ts";
import { Catalog } from "../catalog.ts";
import { mapInParallel } from "../parallel.ts";
import { Scanner, sharedRuns } from "../scanner.ts";
import { isSystemError, isUnsettled } from "./file-system.ts";
import type { LibraryFolder, LibraryTree } from "./library-tree.ts";

/** Folder names that lead to an item. */
export interface ItemPlace {
  readonly library: string;
  readonly item: string;
}

/** An item as it was scanned. */
interface ScannedItem {
  readonly id: string;
  /** For example `demo/photon`. */
  readonly place: string;
  /** The stamp of the item's folder before it was read. */
  readonly stamp: string;
  readonly entry: ItemEntry;
}

interface Scan {
  readonly catalog: Catalog<LibraryFolder, ScannedItem>;
  /** By place. Of several items with one id, all are here. */
  readonly scanned: ReadonlyMap<string, ScannedItem>;
  /** The stamps of the root and of the libraries' folders before they were read, by path. */
  readonly stamps: ReadonlyMap<string, string>;
}

/** The stamp of a folder that may change once more without a change of its modification time. */
const unsettled = "unsettled";

/**
 * The index of a directory's libraries and items: looks up their folders without a walk of the tree. It holds one small
 * entry for each item.
 *
 * New and removed item folders change the time of their library's folder, so a look-up of an unknown id notices them
 * at once, for the price of a `stat` for each library; then only items whose folders have changed are read. An id or a
 * type that changes inside of an item's folder, and what a file system hides behind a cache of times, is noticed by
 * scans at a bounded rate.
 */
export class DirectoryIndex {
  readonly #openTree: () => Promise<LibraryTree>;
  readonly #scanner: Scanner<Scan>;

  constructor(openTree: () => Promise<LibraryTree>) {
    this.#openTree = openTree;
    this.#scanner = new Scanner(async (previous) => scan(await openTree(), previous));
  }

  /** Walks the whole tree now. Rejects when the root can't be read. */
  rescan(): Promise<void> {
    return this.#scanner.rescan();
  }

  /**
   * Makes the index current enough to list items, and to say that an id is unknown. Rejects when the root can't be
   * read.
   */
  readonly refresh = sharedRuns(async () => {
    if (this.#scanner.isStale) await this.#scanner.rescan();
    else if (await this.#isOutdated()) await this.#scanner.update();
    // If it fails again once the index is stale, the callers who wait for it get the error.
    else if (this.#scanner.isDue) this.#scanner.catchUp().catch(() => {});
  });

  /** Name of a library's folder. */
  library(libraryId: string): string | undefined {
    return this.#catalog?.library(libraryId)?.name;
  }

  item(itemId: string): ItemPlace | undefined {
    const entry = this.#catalog?.item(itemId)?.entry;
    const library = entry && this.library(entry.libraryId);
    return library === undefined ? undefined : { library, item: entry!.name };
  }

  /** The items of a library, by name, or all items. */
  entries(libraryId?: string): readonly ItemEntry[] | undefined {
    return this.#catalog?.entries(libraryId);
  }

  get #catalog() {
    return this.#scanner.latest?.catalog;
  }

  /** Whether the root or a library's folder has changed since the last scan. */
  async #isOutdated(): Promise<boolean> {
    const { root } = await this.#openTree();
    const stamps = this.#scanner.latest?.stamps;
    if (stamps === undefined) return true;
    const paths = [...stamps.keys()];
    if (paths[0] !== root) return true;
    const current = await mapInParallel(paths, stampOf);
    return paths.some((path, index) => !isUnchanged(stamps.get(path), current[index]!));
  }
}

/** @param previous whose items are still valid where folders have not changed; without it every item is read */
async function scan(tree: LibraryTree, previous?: Scan): Promise<Scan> {
  const stamps = new Map([[tree.root, await stampOf(tree.root)]]);
  for (const name of await tree.libraryNames()) {
    const path = join(tree.root, name);
    stamps.set(path, await stampOf(path));
  }
  const libraries = await tree.libraries();
  const scanned = new Map<string, ScannedItem>();
  for (const library of libraries) {
    const read = (name: string) => scanItem(tree, library, name, previous);
    for (const item of await mapInParallel(await tree.itemNames(library), read)) {
      if (item !== undefined) scanned.set(item.place, item);
    }
  }
  const items = tree.withUniqueIds([...scanned.values()]);
  return { catalog: new Catalog(libraries, items), scanned, stamps };
}

async function scanItem(
  tree: LibraryTree,
  library: LibraryFolder,
  name: string,
  previous: Scan | undefined,
): Promise<ScannedItem | undefined> {
  const place = `${library.place}/${name}`;
  const stamp = await stampOf(join(library.path, name));
  const before = previous?.scanned.get(place);
  if (before?.entry.libraryId === library.id && isUnchanged(before.stamp, stamp)) return before;
  const folder = await tree.item(library, name);
  const entry = folder && (await tree.entry(folder));
  return entry && { id: entry.id, place, stamp, entry };
}

function isUnchanged(before: string | undefined, now: string): boolean {
  return now !== unsettled && now === before;
}

/** Text that changes when the entries of a folder change. */
async function stampOf(path: string): Promise<string> {
  try {
    const { dev, ino, mtimeMs, mtimeNs } = await stat(path, { bigint: true });
    if (isUnsettled(Number(mtimeMs))) return unsettled;
    return `${dev}:${ino}:${mtimeNs}`;
  } catch (reason) {
    // Whether it matters that a folder is gone or can't be reached is for the scan to find out.
    if (isSystemError(reason)) return reason.code;
    throw reason;
  }
}
