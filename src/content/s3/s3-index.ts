import type { ItemEntry, Library } from "../../domain/content-source.ts";
import { mapInBatches } from "../batches.ts";
import { idOf } from "../ids.ts";
import { type LeaveOut, withUniqueIds } from "../left-out.ts";
import { type ScanTimes, scanTimesSince } from "../scan-times.ts";
import { sharedRuns } from "../shared-runs.ts";
import { typeOf, withType } from "../stored-files.ts";
import { timesOf } from "../times.ts";
import type { S3Bucket } from "./bucket.ts";
import { itemMetadata, type ListedLibrary, libraryMetadata, listLibraries, listLibrary } from "./listings.ts";
import type { SmallObjects } from "./small-objects.ts";

/** A library as it was scanned. */
export interface ScannedLibrary extends Library {
  /** Its name. */
  readonly place: string;
}

/** Of an item, as it was scanned. */
interface ScannedItem {
  readonly id: string;
  /** For example `demo/photon`. */
  readonly place: string;
  readonly entry: ItemEntry;
}

interface Scan extends ScanTimes {
  /** By id, in the order of names. */
  readonly libraries: ReadonlyMap<string, ScannedLibrary>;
  /** By id, in the order of (library, item) names. */
  readonly items: ReadonlyMap<string, ScannedItem>;
  /** The items of each library, by library id. */
  readonly itemsOf: ReadonlyMap<string, readonly ItemEntry[]>;
}

export interface S3IndexOptions {
  readonly bucket: S3Bucket;
  readonly small: SmallObjects;
  readonly leaveOut: LeaveOut;
}

/**
 * Knows which libraries and items there are, from scans at a bounded rate. A scan lists all keys, a thousand with each
 * request, and reads the metadata that has changed. Nothing in S3 tells cheaply that something has come or gone, so what
 * is new is known a second after the last scan, or ten times as long as that one took.
 */
export class S3Index {
  readonly #parts: S3IndexOptions;
  #latest: Scan | undefined;

  constructor(parts: S3IndexOptions) {
    this.#parts = parts;
  }

  /** Scans now. Rejects when the storage can't be read; what was known before stays. */
  readonly rescan = sharedRuns(async () => {
    this.#latest = await scan(this.#parts);
  });

  /** Makes the index current enough to list what is in it. */
  async refresh(): Promise<void> {
    const now = performance.now();
    const { dueAt = 0, staleAt = 0 } = this.#latest ?? {};
    if (now >= staleAt) return this.#catchUp();
    // If it fails again once the scan is stale, those who wait for the next are told.
    if (now >= dueAt) this.#catchUp().catch(() => {});
  }

  /** Makes the index current enough to say that an id is unknown. */
  async settle(): Promise<void> {
    if (performance.now() >= (this.#latest?.dueAt ?? 0)) await this.#catchUp();
  }

  #catchingUp: Promise<void> | undefined;

  /** Those who come while a scan is under way for others share it: what they lack is not worth another one. */
  #catchUp(): Promise<void> {
    this.#catchingUp ??= this.rescan().finally(() => {
      this.#catchingUp = undefined;
    });
    return this.#catchingUp;
  }

  libraries(): ScannedLibrary[] {
    return [...(this.#latest?.libraries.values() ?? [])];
  }

  library(libraryId: string): ScannedLibrary | undefined {
    return this.#latest?.libraries.get(libraryId);
  }

  item(itemId: string): ScannedItem | undefined {
    return this.#latest?.items.get(itemId);
  }

  /** The items of a library, or all of them. */
  items(libraryId?: string): readonly ItemEntry[] | undefined {
    if (libraryId !== undefined) return this.#latest?.itemsOf.get(libraryId);
    return this.#latest && [...this.#latest.items.values()].map(({ entry }) => entry);
  }
}

async function scan(parts: S3IndexOptions): Promise<Scan> {
  const { bucket, leaveOut } = parts;
  const startedAt = performance.now();
  const names = await listLibraries(bucket, leaveOut);
  const listed = await mapInBatches(names, (name) => scanLibrary(parts, name));
  const found = listed.filter((one) => one !== undefined);
  const libraries = withUniqueIds(
    found.map(({ library }) => library),
    leaveOut,
  );
  const itemsOf = new Map(libraries.map(({ id }): [string, ItemEntry[]] => [id, []]));
  const kept = new Set(libraries);
  const all = found.flatMap(({ library, items }) => (kept.has(library) ? items : []));
  const items = withUniqueIds(all, leaveOut);
  for (const { entry } of items) itemsOf.get(entry.libraryId)?.push(entry);
  return {
    libraries: new Map(libraries.map((library) => [library.id, library])),
    items: new Map(items.map((item) => [item.id, item])),
    itemsOf,
    ...scanTimesSince(startedAt),
  };
}

interface LibraryScan {
  readonly library: ScannedLibrary;
  readonly items: readonly ScannedItem[];
}

async function scanLibrary(parts: S3IndexOptions, name: string): Promise<LibraryScan | undefined> {
  const listed = await listLibrary(parts.bucket, name, parts.leaveOut);
  const library = listed && (await libraryOf(parts, name, listed));
  if (library === undefined) return undefined;
  const names = [...listed!.items.keys()].sort();
  const items = await mapInBatches(names, async (item): Promise<ScannedItem | undefined> => {
    const { metadata, files } = listed!.items.get(item)!;
    const place = `${name}/${item}`;
    const declared = await parts.small.metadata(metadata);
    if ("broken" in declared) return tellBroken(parts.leaveOut, place, itemMetadata, declared.broken);
    const { id = idOf(place), type = typeOf(files) } = declared;
    return { id, place, entry: { id, libraryId: library.id, name: item, ...withType(type) } };
  });
  return { library, items: items.filter((item) => item !== undefined) };
}

/** The library of this name, unless its metadata is broken. */
export async function libraryOf(
  { small, leaveOut }: S3IndexOptions,
  name: string,
  { metadata, modifiedMs }: Pick<ListedLibrary, "metadata" | "modifiedMs">,
): Promise<ScannedLibrary | undefined> {
  const declared = await small.metadata(metadata);
  if ("broken" in declared) return tellBroken(leaveOut, name, libraryMetadata, declared.broken);
  const { id = idOf(name), description, modifiedMs: declaredMs } = declared;
  // Items that come and go are not changes of a library that declares something.
  const times = timesOf(declaredMs === undefined ? modifiedMs : [declaredMs]);
  return { id, name, place: name, ...times, ...(description !== undefined && { description }) };
}

export function tellBroken(leaveOut: LeaveOut, place: string, metadata: string, reason: string): undefined {
  leaveOut(place, `${metadata} is broken (${reason})`);
  return undefined;
}
