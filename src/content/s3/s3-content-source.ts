import type {
  ContentFile,
  ItemContents,
  ItemEntry,
  Library,
  LibraryItem,
} from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import { find } from "../catalog.ts";
import type { LocatedFile, LocatingSource } from "../located-file.ts";
import { type ChecksumsByName, isManifest, mergeChecksums } from "../manifest.ts";
import { derivedId, rootId } from "../names.ts";
import { mapInParallel } from "../parallel.ts";
import { RecentLooks } from "../recent-looks.ts";
import { type DescribedItem, itemFilesOf, itemSummaryOf, libraryItemOf } from "../stored-files.ts";
import { ignoredManifest, type LeaveOut, leaveOutWith, warnOnce } from "../warnings.ts";
import { S3Bucket } from "./bucket.ts";
import type { S3Place } from "./client.ts";
import { directUri } from "./direct-uri.ts";
import {
  itemMetadata,
  type ListedFile,
  type ListedItem,
  libraryMetadata,
  listItem,
  listObject,
} from "./listings.ts";
import { S3File } from "./s3-file.ts";
import { declaredIn, libraryOf, S3Index, type ScannedLibrary } from "./s3-index.ts";
import { SmallObjects } from "./small-objects.ts";
import { StoredChecksums } from "./stored-checksums.ts";

export interface S3ContentOptions extends S3Place {
  /** How long what the bucket says of an item counts, in milliseconds; by default it is asked each time. */
  readonly freshMs?: number;
  /** Called once for each thing below the prefix that can't be content, with the reason. */
  readonly warn?: (message: string) => void;
}

/** An item as it is now. */
interface CurrentItem extends DescribedItem {
  readonly place: string;
  readonly library: ScannedLibrary;
  readonly listed: ListedItem;
}

/**
 * Libraries in a bucket of S3 or of a compatible store: `<prefix><library>/<item>/<files…>`, by the rules of
 * the directory source: only the objects directly below an item are its files, names that start with a dot are not
 * content, `.library.json` and `.item.json` declare what they declare there, and manifests hold checksums. An item
 * exists when there is anything directly below it.
 *
 * The content version is a digest of the files' names, sizes and ETags. Times are the earliest and the latest at which
 * an object of the item was put; those of a library without `.library.json` span all that is below it.
 *
 * Which libraries and items there are comes from scans (`S3Index`). A single library or item is listed again for each
 * call, by two requests at the same time; an item not before its last listing has become old (`freshMs`).
 */
export class S3ContentSource implements LocatingSource {
  readonly id = rootId;
  readonly location: string;
  readonly #bucket: S3Bucket;
  readonly #small: SmallObjects;
  readonly #checksums: StoredChecksums;
  readonly #index: S3Index;
  readonly #recent: RecentLooks<CurrentItem>;
  /** Identifies the bucket among all. */
  readonly #bucketId: readonly string[];
  readonly #warn: (message: string) => void;
  readonly #leaveOut: LeaveOut;

  constructor({ warn = () => {}, freshMs = 0, ...place }: S3ContentOptions) {
    this.#warn = warnOnce(warn);
    this.#leaveOut = leaveOutWith(this.#warn);
    const prefix = place.prefix.split("/").filter(Boolean).map(encodeURIComponent);
    this.location = ["s3:/", place.bucket, ...prefix].join("/");
    this.#bucket = new S3Bucket(place);
    this.#bucketId = [place.endpoint ?? "", place.bucket, place.prefix];
    const sizeOf = ({ listed }: CurrentItem) => 1 + listed.files.length;
    this.#recent = new RecentLooks({ freshMs, sizeOf, maxSize: maxRecentFiles });
    this.#small = new SmallObjects(this.#bucket);
    this.#checksums = new StoredChecksums(this.#bucket);
    this.#index = new S3Index(this.#parts);
  }

  /**
   * Makes a source that has read the bucket once, so that problems show at the start. Rejects with an Error that names
   * the bucket when it does not exist, may not be listed or can't be reached.
   */
  static async open(options: S3ContentOptions): Promise<S3ContentSource> {
    const source = new S3ContentSource(options);
    try {
      await source.#index.rescan();
    } catch (error) {
      const reason = error instanceof ServiceError ? error.cause : error;
      throw new Error(`bucket ${options.bucket} can't be used: ${explain(reason)}`, { cause: reason });
    }
    return source;
  }

  async libraries(): Promise<Library[]> {
    await this.#index.refresh();
    return this.#index.libraries().map(libraryModel);
  }

  async library(libraryId: string): Promise<Library | undefined> {
    const library = await find(async () => {
      const scanned = this.#index.library(libraryId);
      return scanned && this.#currentLibrary(scanned, true);
    }, this.#index.settle);
    return library && libraryModel(library);
  }

  async items(libraryId?: string): Promise<readonly ItemEntry[] | undefined> {
    await this.#index.refresh();
    const items = this.#index.entries(libraryId);
    if (items !== undefined) return items;
    await this.#index.settle();
    return this.#index.entries(libraryId);
  }

  async item(itemId: string): Promise<LibraryItem | undefined> {
    const item = await this.#findItem(itemId);
    return item && libraryItemOf(item, item.listed.files, item.listed.modifiedMs);
  }

  async contents(itemId: string, expectedVersion?: string): Promise<ItemContents | undefined> {
    const item = await this.#findItem(itemId, expectedVersion);
    if (item === undefined) return undefined;
    const { files } = item.listed;
    const [manifests, stored] = await Promise.all([this.#manifests(item), this.#checksums.of(files)]);
    const { contentVersion } = itemSummaryOf(files);
    const checksums = mergeChecksums([...manifests, stored]);
    return { place: item.place, contentVersion, files: itemFilesOf(files, checksums) };
  }

  async openFile(itemId: string, fileName: string, contentVersion: string): Promise<ContentFile | undefined> {
    return (await this.locate(itemId, fileName, contentVersion))?.open();
  }

  async locate(itemId: string, fileName: string, contentVersion: string): Promise<LocatedFile | undefined> {
    const file = await this.#findFile(itemId, fileName, contentVersion);
    if (file === undefined) return undefined;
    const { size, version, object } = file;
    const identity = JSON.stringify([...this.#bucketId, object.key, object.etag, size]);
    return { size, version, identity, open: () => new S3File(this.#bucket, file) };
  }

  forget(itemId: string): void {
    this.#recent.forget(itemId);
  }

  async directUri(
    itemId: string,
    fileName: string,
    contentVersion: string,
    lifetimeMs: number,
  ): Promise<string | undefined> {
    const file = await this.#findFile(itemId, fileName, contentVersion);
    return file && directUri(this.#bucket, file, lifetimeMs);
  }

  get #parts() {
    return { bucket: this.#bucket, small: this.#small, leaveOut: this.#leaveOut };
  }

  async #findFile(itemId: string, fileName: string, contentVersion: string): Promise<ListedFile | undefined> {
    const { files = [] } = (await this.#findItem(itemId, contentVersion))?.listed ?? {};
    const file = files.find(({ name }) => name === fileName);
    return file !== undefined && itemSummaryOf(files).contentVersion === contentVersion ? file : undefined;
  }

  /** @param expectedVersion an older result that has another version does not count */
  #findItem(itemId: string, expectedVersion?: string): Promise<CurrentItem | undefined> {
    const suits = ({ listed: { files } }: CurrentItem) =>
      expectedVersion === undefined || itemSummaryOf(files).contentVersion === expectedVersion;
    return this.#recent.get(itemId, () => this.#lookForItem(itemId), suits);
  }

  #lookForItem(itemId: string): Promise<CurrentItem | undefined> {
    return find(async () => {
      const scanned = this.#index.item(itemId);
      const scannedLibrary = scanned && this.#index.library(scanned.entry.libraryId);
      if (scannedLibrary === undefined) return undefined;
      const { place, entry } = scanned!;
      const [library, listed] = await Promise.all([
        this.#currentLibrary(scannedLibrary, false),
        listItem(this.#bucket, place, this.#leaveOut),
      ]);
      if (library === undefined || listed === undefined) return undefined;
      const declared = await declaredIn(this.#parts, place, itemMetadata, listed.metadata);
      if (declared === undefined) return undefined;
      const { id = derivedId(place), ...more } = declared;
      return id === itemId ? { ...more, id, name: entry.name, place, library, listed } : undefined;
    }, this.#index.settle);
  }

  /**
   * The library as it is now; undefined when it has another id or its metadata is broken.
   *
   * @param mustExist whether to check that there is still anything in it
   */
  async #currentLibrary(scanned: ScannedLibrary, mustExist: boolean): Promise<ScannedLibrary | undefined> {
    const { name, createdAt, modifiedAt } = scanned;
    const [metadata, exists] = await Promise.all([
      listObject(this.#bucket, `${name}/${libraryMetadata}`),
      mustExist ? this.#hasAnything(name) : true,
    ]);
    if (!exists) return undefined;
    const library = await libraryOf(this.#parts, name, { metadata, modifiedMs: [createdAt, modifiedAt] });
    return library?.id === scanned.id ? library : undefined;
  }

  async #hasAnything(library: string): Promise<boolean> {
    for await (const { objects } of this.#bucket.list(`${library}/`, { maxKeys: 1 }))
      return objects.length > 0;
    return false;
  }

  async #manifests({ place, listed }: CurrentItem): Promise<ChecksumsByName[]> {
    const read = await mapInParallel(listed.files.filter(isManifest), async ({ name, object }) => {
      const checksums = await this.#small.checksums(object);
      if (!("broken" in checksums)) return checksums;
      this.#warn(ignoredManifest(`${place}/${name}`, checksums.broken));
      return undefined;
    });
    return read.filter((checksums) => checksums !== undefined);
  }
}

/** Files and items whose listings are kept. */
const maxRecentFiles = 100_000;

function libraryModel({ place, ...library }: ScannedLibrary): Library {
  return library;
}

/** A message that an operator can act upon: the storage's own words. */
function explain(reason: unknown): string {
  if (!(reason instanceof Error)) return String(reason);
  // An AggregateError of several addresses that all refused has no message.
  const message = reason.message || (reason as { readonly code?: string }).code || "";
  return reason.name === "Error" || reason.name === "AggregateError" ? message : `${reason.name}: ${message}`;
}
