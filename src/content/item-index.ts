import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ItemEntry } from "../domain/content-source.ts";
import { mapInBatches } from "./batches.ts";
import { isSystemError } from "./confined.ts";
import type { ItemFolder, LibraryTree } from "./library-tree.ts";
import { sharedRuns } from "./shared-runs.ts";

/** Folder names that lead to an item. */
export interface ItemPlace {
  readonly library: string;
  readonly item: string;
}

interface Scan {
  /** Names of the libraries' folders, by library id. */
  readonly libraries: ReadonlyMap<string, string>;
  /** Items by id, in the order of (library, item) names. */
  readonly items: ReadonlyMap<string, ItemEntry>;
  /** The items of each library, by library id. */
  readonly itemsOf: ReadonlyMap<string, readonly ItemEntry[]>;
  /** What the root and the library folders looked like before they were read, by path. */
  readonly stamps: ReadonlyMap<string, string>;
  /** On the clock of `performance.now()`: when the next scan is due although no folder has changed. */
  readonly dueAt: number;
  /** When look-ups wait for that scan. Callers who come all the time never do: theirs is made from `dueAt` on. */
  readonly staleAt: number;
}

const minPauseMs = 1_000;
/** Unneeded scans take at most a tenth of the time. */
const pausePerScan = 10;
/** File times move in steps of the kernel's tick, 10 ms at most: two changes within one leave the same time. */
const unsettledMs = 20;
const unsettled = "unsettled";

/**
 * Knows which items there are and where, without a walk for each question. It holds one small entry for each item.
 *
 * New and removed item folders change the time of their library's folder, so asking for an unknown id notices
 * them at once, for the price of a `stat` for each library. An id or a type that changes inside of an item's folder,
 * and what a file system hides behind a cache of times, is noticed by scans at a bounded rate.
 */
export class ItemIndex {
  readonly #openTree: () => Promise<LibraryTree>;
  #latest: Scan | undefined;
  /** Whether a scan that nobody waits for is under way. */
  #isScanning = false;

  /** Walks the tree now; what is there when it is called is in the index afterwards. */
  readonly rescan = sharedRuns(async () => {
    this.#latest = await scan(await this.#openTree());
  });

  /**
   * Makes the index current enough to list items, and to say that an id is unknown. Rejects when the root can't be
   * read.
   */
  readonly refresh = sharedRuns(async () => {
    const now = performance.now();
    const { dueAt = 0, staleAt = 0 } = this.#latest ?? {};
    if (now >= staleAt || (await this.#isOutdated())) await this.rescan();
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
    return paths.some(
      (path, index) => stamps[index] === unsettled || stamps[index] !== latest.stamps.get(path),
    );
  }
}

async function scan(tree: LibraryTree): Promise<Scan> {
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
  const found: ItemFolder[][] = [];
  for (const library of folders) found.push(await tree.items(library));
  const entries = await mapInBatches(tree.withUniqueIds(found.flat()), (item) => tree.entry(item));
  for (const entry of entries) {
    if (entry === undefined) continue;
    items.set(entry.id, entry);
    itemsOf.get(entry.libraryId)?.push(entry);
  }
  const endedAt = performance.now();
  const pauseMs = Math.max(minPauseMs, pausePerScan * (endedAt - startedAt));
  return { libraries, items, itemsOf, stamps, dueAt: endedAt + pauseMs, staleAt: endedAt + 2 * pauseMs };
}

async function stampOf(path: string): Promise<string> {
  try {
    const { dev, ino, mtimeMs, mtimeNs } = await stat(path, { bigint: true });
    // A clock of the file system's that is far ahead must not keep a folder unsettled for good.
    if (Math.abs(Date.now() - Number(mtimeMs)) < unsettledMs) return unsettled;
    return `${dev}:${ino}:${mtimeNs}`;
  } catch (reason) {
    // Whether it matters that a folder is gone or can't be reached is for the scan to find out.
    if (isSystemError(reason)) return reason.code;
    throw reason;
  }
}
