import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ItemEntry } from "../../domain/content-source.ts";
import { mapInBatches } from "../batches.ts";
import { type ScanTimes, scanTimesSince } from "../scan-times.ts";
import { sharedRuns } from "../shared-runs.ts";
import { isSystemError } from "./confined.ts";
import type { LibraryFolder, LibraryTree } from "./library-tree.ts";
import { isUnsettled } from "./ticks.ts";

/** Folder names that lead to an item. */
export interface ItemPlace {
  readonly library: string;
  readonly item: string;
}

/** What was read of an item, and what its folder looked like before that. */
interface Reading {
  readonly id: string;
  readonly place: string;
  readonly stamp: string;
  readonly entry: ItemEntry;
}

interface Scan extends ScanTimes {
  /** Names of the libraries' folders, by library id. */
  readonly libraries: ReadonlyMap<string, string>;
  /** Items by id, in the order of (library, item) names. */
  readonly items: ReadonlyMap<string, ItemEntry>;
  /** The items of each library, by library id. */
  readonly itemsOf: ReadonlyMap<string, readonly ItemEntry[]>;
  /** By place. Of several items with one id all are here. */
  readonly readings: ReadonlyMap<string, Reading>;
  /** What the root and the library folders looked like before they were read, by path. */
  readonly stamps: ReadonlyMap<string, string>;
}

const unsettled = "unsettled";

/**
 * Knows which items there are and where, without a walk for each question. It holds one small entry for each item.
 *
 * New and removed item folders change the time of their library's folder, so asking for an unknown id notices
 * them at once, for the price of a `stat` for each library; then only items whose folders have changed are read. An id or a type that changes inside of an item's folder,
 * and what a file system hides behind a cache of times, is noticed by scans at a bounded rate.
 */
export class ItemIndex {
  readonly #openTree: () => Promise<LibraryTree>;
  #latest: Scan | undefined;
  /** Whether the next update has to read every item, changed folder or not. */
  #isDistrusted = false;
  /** Whether a scan that nobody waits for is under way. */
  #isScanning = false;

  /** Walks the tree now; what is there when it is called is in the index afterwards. */
  rescan(): Promise<void> {
    this.#isDistrusted = true;
    return this.#update();
  }

  readonly #update = sharedRuns(async () => {
    const previous = this.#isDistrusted ? undefined : this.#latest;
    this.#isDistrusted = false;
    this.#latest = await scan(await this.#openTree(), previous);
  });

  /**
   * Makes the index current enough to list items, and to say that an id is unknown. Rejects when the root can't be
   * read.
   */
  readonly refresh = sharedRuns(async () => {
    const now = performance.now();
    const { dueAt = 0, staleAt = 0 } = this.#latest ?? {};
    if (now >= staleAt) await this.rescan();
    else if (await this.#isOutdated()) await this.#update();
    else if (now >= dueAt) void this.#scanAside();
  });

  constructor(openTree: () => Promise<LibraryTree>) {
    this.#openTree = openTree;
  }

  /** Name of a library's folder. */
  library(libraryId: string): string | undefined {
    return this.#latest?.libraries.get(libraryId);
  }

  place(itemId: string): ItemPlace | undefined {
    const entry = this.#latest?.items.get(itemId);
    const library = entry && this.library(entry.libraryId);
    return library === undefined ? undefined : { library, item: entry!.name };
  }

  /** The items of a library, by name, or all of them. */
  items(libraryId?: string): readonly ItemEntry[] | undefined {
    if (libraryId !== undefined) return this.#latest?.itemsOf.get(libraryId);
    return this.#latest && [...this.#latest.items.values()];
  }

  async #scanAside(): Promise<void> {
    if (this.#isScanning) return;
    this.#isScanning = true;
    try {
      await this.rescan();
    } catch {
      // If it fails again once the index is stale, those who wait for it are told.
    } finally {
      this.#isScanning = false;
    }
  }

  /** Whether a folder has changed since the last scan. */
  async #isOutdated(): Promise<boolean> {
    const { root } = await this.#openTree();
    const latest = this.#latest;
    if (latest === undefined) return true;
    const paths = [...latest.stamps.keys()];
    if (paths[0] !== root) return true;
    const stamps = await mapInBatches(paths, stampOf);
    return paths.some((path, index) => !isUnchanged(latest.stamps.get(path), stamps[index]!));
  }
}

/** @param previous whose readings are good where folders have not changed; without it every item is read */
async function scan(tree: LibraryTree, previous?: Scan): Promise<Scan> {
  const startedAt = performance.now();
  const stamps = new Map([[tree.root, await stampOf(tree.root)]]);
  for (const name of await tree.libraryNames()) {
    const path = join(tree.root, name);
    stamps.set(path, await stampOf(path));
  }
  const folders = await tree.libraries();
  const libraries = new Map(folders.map(({ id, name }) => [id, name]));
  const itemsOf = new Map(folders.map(({ id }): [string, ItemEntry[]] => [id, []]));
  const items = new Map<string, ItemEntry>();
  const readings = new Map<string, Reading>();
  for (const library of folders) {
    const read = (name: string) => readingOf(tree, library, name, previous);
    for (const reading of await mapInBatches(await tree.itemNames(library), read)) {
      if (reading !== undefined) readings.set(reading.place, reading);
    }
  }
  for (const { entry } of tree.withUniqueIds([...readings.values()])) {
    items.set(entry.id, entry);
    itemsOf.get(entry.libraryId)?.push(entry);
  }
  const found = { libraries, items, itemsOf, readings, stamps };
  if (previous !== undefined) return { ...previous, ...found };
  return { ...found, ...scanTimesSince(startedAt) };
}

async function readingOf(
  tree: LibraryTree,
  library: LibraryFolder,
  name: string,
  previous: Scan | undefined,
): Promise<Reading | undefined> {
  const place = `${library.place}/${name}`;
  const stamp = await stampOf(join(library.path, name));
  const known = previous?.readings.get(place);
  if (known?.entry.libraryId === library.id && isUnchanged(known.stamp, stamp)) return known;
  const folder = await tree.item(library, name);
  const entry = folder && (await tree.entry(folder));
  return entry && { id: entry.id, place, stamp, entry };
}

function isUnchanged(before: string | undefined, now: string): boolean {
  return now !== unsettled && now === before;
}

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
