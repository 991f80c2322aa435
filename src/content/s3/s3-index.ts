import type { ItemEntry, Library } from "../../domain/content-source.ts";
import { Catalog } from "../catalog.ts";
import type { Metadata } from "../metadata.ts";
import { derivedId } from "../names.ts";
import { mapInParallel } from "../parallel.ts";
import { Scanner } from "../scanner.ts";
import { timesOf, typeOf, withType } from "../stored-files.ts";
import { type LeaveOut, withUniqueIds } from "../warnings.ts";
import type { ListedObject, S3Bucket } from "./bucket.ts";
import { itemMetadata, type ListedLibrary, libraryMetadata, listLibraries, listLibrary } from "./listings.ts";
import type { SmallObjects } from "./small-objects.ts";

/** A library as it was scanned. */
export interface ScannedLibrary extends Library {
  /** Its name. */
  readonly place: string;
}

/** An item as it was scanned. */
interface ScannedItem {
  readonly id: string;
  /** For example `demo/photon`. */
  readonly place: string;
  readonly entry: ItemEntry;
}

type Scan = Catalog<ScannedLibrary, ScannedItem>;

export interface S3IndexOptions {
  readonly bucket: S3Bucket;
  readonly small: SmallObjects;
  readonly leaveOut: LeaveOut;
}

/**
 * The index of a bucket's libraries and items, made by scans at a bounded rate. A scan lists all keys, a thousand with each
 * request, and reads the metadata that has changed. S3 has no cheap way to notice new and removed objects, so changes
 * are known a second after the last scan, or ten times as long as that one took.
 */
export class S3Index {
  readonly #scanner: Scanner<Scan>;

  constructor(parts: S3IndexOptions) {
    this.#scanner = new Scanner(() => scan(parts));
  }

  /** Scans now. Rejects when the storage can't be read. */
  rescan(): Promise<void> {
    return this.#scanner.rescan();
  }

  /** Makes the index current enough to list what is in it. */
  async refresh(): Promise<void> {
    if (this.#scanner.isStale) return this.#scanner.catchUp();
    // If it fails again once the scan is stale, the callers who wait for the next one get the error.
    if (this.#scanner.isDue) this.#scanner.catchUp().catch(() => {});
  }

  /** Makes the index current enough to say that an id is unknown. */
  readonly settle = async (): Promise<void> => {
    if (this.#scanner.isDue) await this.#scanner.catchUp();
  };

  libraries(): ScannedLibrary[] {
    return this.#scanner.latest?.libraries() ?? [];
  }

  library(libraryId: string): ScannedLibrary | undefined {
    return this.#scanner.latest?.library(libraryId);
  }

  item(itemId: string): ScannedItem | undefined {
    return this.#scanner.latest?.item(itemId);
  }

  /** The items of a library, by name, or all items. */
  entries(libraryId?: string): readonly ItemEntry[] | undefined {
    return this.#scanner.latest?.entries(libraryId);
  }
}

async function scan(parts: S3IndexOptions): Promise<Scan> {
  const { bucket, leaveOut } = parts;
  const names = await listLibraries(bucket, leaveOut);
  const scans = await mapInParallel(names, (name) => scanLibrary(parts, name));
  const listed = scans.filter((library) => library !== undefined);
  const libraries = withUniqueIds(
    listed.map(({ library }) => library),
    leaveOut,
  );
  const kept = new Set(libraries);
  const items = listed.flatMap(({ library, items }) => (kept.has(library) ? items : []));
  return new Catalog(libraries, withUniqueIds(items, leaveOut));
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
  const items = await mapInParallel(names, async (item): Promise<ScannedItem | undefined> => {
    const { metadata, files } = listed!.items.get(item)!;
    const place = `${name}/${item}`;
    const declared = await declaredIn(parts, place, itemMetadata, metadata);
    if (declared === undefined) return undefined;
    const { id = derivedId(place), type = typeOf(files) } = declared;
    return { id, place, entry: { id, libraryId: library.id, name: item, ...withType(type) } };
  });
  return { library, items: items.filter((item) => item !== undefined) };
}

/** The library of this name; undefined when its metadata is broken. */
export async function libraryOf(
  parts: S3IndexOptions,
  name: string,
  { metadata, modifiedMs }: Pick<ListedLibrary, "metadata" | "modifiedMs">,
): Promise<ScannedLibrary | undefined> {
  const declared = await declaredIn(parts, name, libraryMetadata, metadata);
  if (declared === undefined) return undefined;
  const { id = derivedId(name), description, modifiedMs: declaredMs } = declared;
  // Items that come and go are not changes of a library that declares something.
  const times = timesOf(declaredMs === undefined ? modifiedMs : [declaredMs]);
  return { id, name, place: name, ...times, ...(description !== undefined && { description }) };
}

/**
 * What the metadata of a place declares; undefined, with a warning, when it is broken.
 *
 * @param fileName of the metadata
 */
export async function declaredIn(
  { small, leaveOut }: Pick<S3IndexOptions, "small" | "leaveOut">,
  place: string,
  fileName: string,
  object: ListedObject | undefined,
): Promise<Metadata | undefined> {
  const declared = await small.metadata(object);
  if (!("broken" in declared)) return declared;
  leaveOut(place, `${fileName} is broken (${declared.broken})`);
  return undefined;
}
