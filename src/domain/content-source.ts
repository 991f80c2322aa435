/**
 * Where library items and their files come from. Read only; every replica that sees the same storage gives the same
 * answers. A source that can't be read rejects with a ServiceError `downlease.content.unavailable`.
 */
export interface ContentSource {
  /** Identifies the source as a whole. */
  readonly id: string;

  /** URI of the storage, without a slash at its end. Only for callers who may read storage. */
  readonly location: string;

  /** All libraries, by name. */
  libraries(): Promise<Library[]>;

  /** One library, or undefined. Cheap: does not walk the source. */
  library(libraryId: string): Promise<Library | undefined>;

  /**
   * The items of a library, by name, or of all libraries, by library and name; undefined when there is no such library.
   * Cheap however often it is called and however many items there are. New and removed items are noticed at once, or
   * within seconds where the storage does not report changes; an id or a type that changes within an item, a little
   * later.
   */
  items(libraryId?: string): Promise<readonly ItemEntry[] | undefined>;

  /** One item, or undefined. Cheap: does not walk the source. */
  item(itemId: string): Promise<LibraryItem | undefined>;

  /**
   * The files of an item and their content version, as of one moment; undefined when there is no such item.
   *
   * @param expectedVersion content version that the caller has seen: a source that keeps its answers for a while gives a
   *   kept one only when it has this version
   */
  contents(itemId: string, expectedVersion?: string): Promise<ItemContents | undefined>;

  /**
   * Opens a file of an item in one content version. Undefined when there is no such item, or it has another content
   * version now, or no such file. The caller closes the file.
   *
   * @param isIdle whether nobody waits for the file: a source with a cache then removes nothing else from it
   */
  openFile(
    itemId: string,
    fileName: string,
    contentVersion: string,
    isIdle?: boolean,
  ): Promise<ContentFile | undefined>;

  /**
   * A URI by which a file can be read from the storage itself, for at most `lifetimeMs`. Undefined when the source has
   * none, and in the cases of `openFile`.
   */
  directUri?(
    itemId: string,
    fileName: string,
    contentVersion: string,
    lifetimeMs: number,
  ): Promise<string | undefined>;
}

/** A part of a file: both ends included, counted from 0. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A file that is open for reading. `close` frees it and ends its readers. */
export interface ContentFile extends AsyncDisposable {
  /** Bytes. */
  readonly size: number;
  /** As `ItemFile.version`. */
  readonly version: string;
  /**
   * Where a proxy that sees the same storage finds the file, relative to the root of the source, with `/` between its
   * segments; unset where there is no such place.
   */
  readonly path?: string;
  /** A strong entity tag by which the storage itself knows these bytes; unset where it has none. */
  readonly etag?: string;

  /**
   * Starts reading a range of the bytes, the whole file by default.
   *
   * @throws RangeError when the range is not a range of the file's bytes
   */
  reader(range?: ByteRange): ContentReader;

  /**
   * A URI by which anyone can read these bytes from the storage itself, for at most `lifetimeMs`; undefined when there
   * is none, or the file has changed. Unset where the storage has no such URIs.
   */
  directUri?(lifetimeMs: number): Promise<string | undefined>;

  close(): Promise<void>;
}

export interface ContentReader {
  /**
   * Fills the buffer, or a part of it, with the next bytes. Resolves with their number, 0 at the end of the range. One
   * call at a time. Rejects with `ContentChangedError` when the file has changed since it was opened, at the latest in
   * place of the last bytes, unless the source keeps the bytes of that version: a range that was read to its end is of the
   * version that was opened.
   */
  read(into: Uint8Array): Promise<number>;
}

/** A file changed while it was being read. */
export class ContentChangedError extends Error {
  override readonly name = "ContentChangedError";
}

/**
 * The range that is read: the one that is requested, or the whole of a file of this many bytes; for an empty file that
 * is 0 to -1.
 *
 * @throws RangeError when the range is not a range of the file's bytes
 */
export function resolveRange(size: number, range?: ByteRange): ByteRange {
  if (range === undefined) return { start: 0, end: size - 1 };
  const { start, end } = range;
  const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (isRange && 0 <= start && start <= end && end < size) return range;
  throw new RangeError(`bytes ${start} to ${end} are not all in ${size} bytes`);
}

/** When something was made and last changed, in milliseconds since the epoch, from the year 1970 to 9999. */
export interface Times {
  readonly createdAt: number;
  /** Not before `createdAt`. */
  readonly modifiedAt: number;
}

export interface Library extends Times {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
}

/** An item as lists show it. */
export interface ItemEntry {
  readonly id: string;
  readonly libraryId: string;
  readonly name: string;
  /** `ovf`, `iso`, or any text that the source declares; unset when unknown. */
  readonly type?: string;
}

export interface LibraryItem extends ItemEntry, Times {
  readonly description?: string;
  /** Changes when a file is added, removed or changed. Opaque. */
  readonly contentVersion: string;
  /** Total size of the files in bytes. */
  readonly size: number;
}

/** The types that an item has by its files, when it declares none, with a description of each. */
export const itemTypes = {
  iso: "Disc images: items with a file *.iso",
  ovf: "OVF packages: items with a file *.ovf or *.ova",
} as const;

export interface ItemContents {
  /** Where the item is in the storage: names of folders with `/` between them. */
  readonly place: string;
  readonly contentVersion: string;
  /** By name. */
  readonly files: readonly ItemFile[];
}

export interface ItemFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Changes when the file changes. Opaque. */
  readonly version: string;
  /** Known checksums in lower-case hexadecimal. */
  readonly checksums?: Readonly<Partial<Record<ChecksumAlgorithm, string>>>;
}

export type ChecksumAlgorithm = "MD5" | "SHA1" | "SHA256" | "SHA512";
