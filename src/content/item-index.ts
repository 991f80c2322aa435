import { stat } from "node:fs/promises";
import { join } from "node:path";
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
  /** Items by id, in the order of (library, item) names. */
  readonly places: ReadonlyMap<string, ItemPlace>;
  /** What the root and the library folders looked like before they were read, by path. */
  readonly stamps: ReadonlyMap<string, string>;
  /** On the clock of `performance.now()`: when the next scan may be made although no folder has changed. */
  readonly repeatableAt: number;
}

const minPauseMs = 1_000;
/** Unneeded scans take at most a tenth of the time. */
const pausePerScan = 10;
/** File times move in steps of the kernel's tick, 10 ms at most: two changes within one leave the same time. */
const unsettledMs = 20;
const unsettled = "unsettled";

/**
 * Knows where the item of an id is, without a walk for each question. It holds one small entry for each item.
 *
 * New and removed item folders change the time of their library's folder, so asking for an unknown id notices
 * them at once, for the price of a `stat` for each library. An id that changes inside of an item's folder, and
 * what a file system hides behind a cache of times, is noticed by scans at a bounded rate.
 */
export class ItemIndex {
  readonly #openTree: () => Promise<LibraryTree>;
  #latest: Scan | undefined;

  /** Walks the tree now; what is there when it is called is in the index afterwards. */
  readonly rescan = sharedRuns(async () => {
    this.#latest = await scan(await this.#openTree());
  });

  /** Makes the index current enough to say that an id is unknown. Rejects when the root can't be read. */
  readonly refresh = sharedRuns(async () => {
    if (await this.#isOutdated()) await this.rescan();
  });

  constructor(openTree: () => Promise<LibraryTree>) {
    this.#openTree = openTree;
  }

  place(itemId: string): ItemPlace | undefined {
    return this.#latest?.places.get(itemId);
  }

  /** Places of the items in a library's folder, by name. */
  placesIn(library: string): ItemPlace[] {
    return [...(this.#latest?.places.values() ?? [])].filter((place) => place.library === library);
  }

  async #isOutdated(): Promise<boolean> {
    const { root } = await this.#openTree();
    const latest = this.#latest;
    if (latest === undefined || performance.now() >= latest.repeatableAt) return true;
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
  const items: ItemFolder[][] = [];
  for (const library of await tree.libraries()) items.push(await tree.items(library));
  const places = new Map<string, ItemPlace>();
  for (const { id, library, name } of tree.withUniqueIds(items.flat())) {
    places.set(id, { library: library.name, item: name });
  }
  const endedAt = performance.now();
  const pauseMs = Math.max(minPauseMs, pausePerScan * (endedAt - startedAt));
  return { places, stamps, repeatableAt: endedAt + pauseMs };
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
