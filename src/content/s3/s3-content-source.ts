import { create as contentDisposition } from "content-disposition";
import type {
  ContentFile,
  ContentSource,
  ItemEntry,
  ItemFile,
  Library,
  LibraryItem,
} from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import { mapInBatches } from "../batches.ts";
import { idOf } from "../ids.ts";
import { type LeaveOut, leaveOutWith, once, quoted } from "../left-out.ts";
import { type Checksums, isManifest, mergeChecksums } from "../manifest.ts";
import { type DescribedItem, itemFilesOf, libraryItemOf, summaryOf } from "../stored-files.ts";
import { S3Bucket } from "./bucket.ts";
import type { S3Place } from "./client.ts";
import {
  itemMetadata,
  type ListedFile,
  type ListedItem,
  libraryMetadata,
  listItem,
  listObject,
} from "./listings.ts";
import { S3File } from "./s3-file.ts";
import { libraryOf, S3Index, type ScannedLibrary, tellBroken } from "./s3-index.ts";
import { SmallObjects } from "./small-objects.ts";
import { StoredChecksums } from "./stored-checksums.ts";

export interface S3ContentOptions extends S3Place {
  /** Is told once of each thing that can't be content, and why. */
  readonly warn?: (message: string) => void;
}

/** An item as it is now. */
interface FoundItem extends DescribedItem {
  readonly place: string;
  readonly library: ScannedLibrary;
  readonly listed: ListedItem;
}

/**
 * Libraries in a bucket of S3, or of what speaks its language: `<prefix><library>/<item>/<files…>`, by the rules of
 * the directory source: only the objects directly below an item are its files, names that start with a dot are not
 * content, `.library.json` and `.item.json` declare what they declare there, and manifests tell checksums. An item is
 * there when anything is directly below it.
 *
 * The content version is a digest of the files' names, sizes and ETags. Times are the earliest and the latest at which
 * an object of the item was put; those of a library without `.library.json` span all that is below it.
 *
 * What there is comes from scans (`S3Index`). What is told of one library or item is listed anew for each call, in two
 * requests at the same time.
 */
export class S3ContentSource implements ContentSource {
  readonly #bucket: S3Bucket;
  readonly #small: SmallObjects;
  readonly #checksums: StoredChecksums;
  readonly #index: S3Index;
  readonly #warn: (message: string) => void;
  readonly #leaveOut: LeaveOut;

  constructor({ warn = () => {}, ...place }: S3ContentOptions) {
    this.#warn = once(warn);
    this.#leaveOut = leaveOutWith(this.#warn);
    this.#bucket = new S3Bucket(place);
    this.#small = new SmallObjects(this.#bucket);
    this.#checksums = new StoredChecksums(this.#bucket);
    this.#index = new S3Index(this.#parts);
  }

  /**
   * Makes a source that has read the bucket once, so that what is wrong with it is told at the start. Rejects with an
   * Error that names the bucket when it does not exist, may not be listed or can't be reached.
   */
  static async open(options: S3ContentOptions): Promise<S3ContentSource> {
    const source = new S3ContentSource(options);
    try {
      await source.#index.rescan();
    } catch (error) {
      const reason = error instanceof ServiceError ? error.cause : error;
      throw new Error(`bucket ${options.bucket} can't be used: ${explained(reason)}`, { cause: reason });
    }
    return source;
  }

  async libraries(): Promise<Library[]> {
    await this.#index.refresh();
    return this.#index.libraries().map(told);
  }

  async library(libraryId: string): Promise<Library | undefined> {
    const library = await this.#find(async () => {
      const scanned = this.#index.library(libraryId);
      return scanned && this.#libraryNow(scanned, true);
    });
    return library && told(library);
  }

  async items(libraryId?: string): Promise<readonly ItemEntry[] | undefined> {
    await this.#index.refresh();
    const items = this.#index.items(libraryId);
    if (items !== undefined) return items;
    await this.#index.settle();
    return this.#index.items(libraryId);
  }

  async item(itemId: string): Promise<LibraryItem | undefined> {
    const item = await this.#findItem(itemId);
    return item && libraryItemOf(item, item.listed.files, item.listed.modifiedMs);
  }

  async files(itemId: string): Promise<ItemFile[] | undefined> {
    return (await this.contents(itemId))?.files;
  }

  async contents(itemId: string) {
    const item = await this.#findItem(itemId);
    if (item === undefined) return undefined;
    const { files } = item.listed;
    const [manifests, stored] = await Promise.all([this.#manifests(item), this.#checksums.of(files)]);
    const { contentVersion } = summaryOf(files);
    return { contentVersion, files: itemFilesOf(files, mergeChecksums([...manifests, stored])) };
  }

  async openFile(itemId: string, fileName: string, contentVersion: string): Promise<ContentFile | undefined> {
    const file = await this.#findFile(itemId, fileName, contentVersion);
    return file && new S3File(this.#bucket, file);
  }

  /**
   * A URI that is signed with the credentials of the service. It pins the version only in a bucket that keeps versions;
   * in another one it gives whatever has the name at the time.
   */
  async directUri(
    itemId: string,
    fileName: string,
    contentVersion: string,
    lifetimeMs: number,
  ): Promise<string | undefined> {
    const seconds = Math.min(Math.floor(lifetimeMs / 1_000), longestSeconds);
    if (!(seconds >= 1)) return undefined;
    const file = await this.#findFile(itemId, fileName, contentVersion);
    const head = file && (await this.#bucket.head(file.object));
    if (head === undefined || head === "changed") return undefined;
    // Objects from before versions were kept are version `null`, which the next one without versions replaces.
    const versionId = head === "denied" || head.VersionId === "null" ? undefined : head.VersionId;
    return this.#bucket.presign(file!.object.key, contentDisposition(fileName), versionId, seconds);
  }

  get #parts() {
    return { bucket: this.#bucket, small: this.#small, leaveOut: this.#leaveOut };
  }

  async #findFile(itemId: string, fileName: string, contentVersion: string): Promise<ListedFile | undefined> {
    const { files = [] } = (await this.#findItem(itemId))?.listed ?? {};
    const file = files.find(({ name }) => name === fileName);
    return file !== undefined && summaryOf(files).contentVersion === contentVersion ? file : undefined;
  }

  #findItem(itemId: string): Promise<FoundItem | undefined> {
    return this.#find(async () => {
      const scanned = this.#index.item(itemId);
      const known = scanned && this.#index.library(scanned.entry.libraryId);
      if (known === undefined) return undefined;
      const { place, entry } = scanned!;
      const [library, listed] = await Promise.all([
        this.#libraryNow(known, false),
        listItem(this.#bucket, place, this.#leaveOut),
      ]);
      if (library === undefined || listed === undefined) return undefined;
      const declared = await this.#small.metadata(listed.metadata);
      if ("broken" in declared) return tellBroken(this.#leaveOut, place, itemMetadata, declared.broken);
      const { id = idOf(place), ...more } = declared;
      return id === itemId ? { ...more, id, name: entry.name, place, library, listed } : undefined;
    });
  }

  /**
   * The library as it is now; undefined when it has another id or its metadata is broken.
   *
   * @param mustExist whether to look if there is still anything in it
   */
  async #libraryNow(scanned: ScannedLibrary, mustExist: boolean): Promise<ScannedLibrary | undefined> {
    const { name, createdAt, modifiedAt } = scanned;
    const [metadata, something] = await Promise.all([
      listObject(this.#bucket, `${name}/${libraryMetadata}`),
      mustExist ? this.#hasAnything(name) : true,
    ]);
    if (!something) return undefined;
    const library = await libraryOf(this.#parts, name, { metadata, modifiedMs: [createdAt, modifiedAt] });
    return library?.id === scanned.id ? library : undefined;
  }

  async #hasAnything(library: string): Promise<boolean> {
    for await (const { objects } of this.#bucket.list(`${library}/`, { most: 1 })) return objects.length > 0;
    return false;
  }

  /** What is where the index says, or, if that is not there, where the index says when it is current. */
  async #find<T>(look: () => Promise<T | undefined>): Promise<T | undefined> {
    const known = await look();
    if (known !== undefined) return known;
    await this.#index.settle();
    return look();
  }

  async #manifests({ place, listed }: FoundItem): Promise<Checksums[]> {
    const read = await mapInBatches(listed.files.filter(isManifest), async ({ name, object }) => {
      const checksums = await this.#small.checksums(object);
      if (!("broken" in checksums)) return checksums;
      this.#warn(`${quoted(`${place}/${name}`)} tells no checksums: ${checksums.broken}`);
      return undefined;
    });
    return read.filter((checksums) => checksums !== undefined);
  }
}

/** As long as a signature of S3's may live. */
const longestSeconds = 604_800;

function told({ place, ...library }: ScannedLibrary): Library {
  return library;
}

/** What an operator can act upon: the storage's own words. */
function explained(reason: unknown): string {
  if (!(reason instanceof Error)) return String(reason);
  // Several addresses that all refused.
  const message = reason.message || (reason as { readonly code?: string }).code || "";
  return reason.name === "Error" || reason.name === "AggregateError" ? message : `${reason.name}: ${message}`;
}
