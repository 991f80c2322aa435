import { hash } from "node:crypto";
import { extname } from "node:path";
import type { ItemFile, itemTypes, LibraryItem, Times } from "../domain/content-source.ts";
import type { ChecksumsByName } from "./manifest.ts";

/** A file of an item, as a source lists it. */
export interface StoredFile extends ItemFile {
  /** Milliseconds since the epoch, whole ones: not every storage keeps more. */
  readonly modifiedMs: number;
  /** Changes with the content, besides the size: a modification time, or a version of the storage. */
  readonly stamp: number | string;
}

export function storedFile(file: Omit<StoredFile, "version">): StoredFile {
  return { ...file, version: versionOf([file.size, file.stamp]) };
}

/**
 * Content version and size of an item with these files, and its type if the names of the files reveal it.
 *
 * @param files by name
 */
export function itemSummaryOf(
  files: readonly StoredFile[],
): Pick<LibraryItem, "contentVersion" | "size" | "type"> {
  const identity = files.map(({ name, size, stamp }) => [name, size, stamp]);
  return {
    contentVersion: versionOf(identity),
    size: files.reduce((total, file) => total + file.size, 0),
    ...withType(typeOf(files)),
  };
}

/** What an item declares, with its defaults. */
export interface DescribedItem extends Pick<LibraryItem, "id" | "name" | "description" | "type"> {
  readonly library: { readonly id: string };
}

/**
 * An item with these files.
 *
 * @param modifiedMs modification times of everything that belongs to it
 */
export function libraryItemOf(
  { id, library, name, description, type }: DescribedItem,
  files: readonly StoredFile[],
  modifiedMs: readonly number[],
): LibraryItem {
  return {
    ...itemSummaryOf(files),
    ...timesOf(modifiedMs),
    id,
    libraryId: library.id,
    name,
    ...(description !== undefined && { description }),
    ...(type !== undefined && { type }),
  };
}

/** The files of an item with their checksums. */
export function itemFilesOf(files: readonly StoredFile[], checksumsByName: ChecksumsByName): ItemFile[] {
  return files.map(({ name, size, version }) => {
    const checksums = checksumsByName.get(name);
    return { name, size, version, ...(checksums !== undefined && { checksums }) };
  });
}

export function withType(type: string | undefined): Pick<LibraryItem, "type"> {
  return type === undefined ? {} : { type };
}

/** `ovf` or `iso`, by the extensions of an item's files; undefined when there are no such extensions. */
export function typeOf(files: Iterable<{ readonly name: string }>): keyof typeof itemTypes | undefined {
  const extensions = new Set([...files].map(({ name }) => extname(name).toLowerCase()));
  if (extensions.has(".ovf") || extensions.has(".ova")) return "ovf";
  return extensions.has(".iso") ? "iso" : undefined;
}

/** File systems can hold later times than RFC 3339 can write. */
const maxTimeMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * When a thing was made and last changed, by the modification times of what belongs to it. Nothing else is the same for
 * every replica: not every file system keeps the time of a file's birth, and no copy does.
 *
 * @param modifiedMs at least one, in milliseconds since the epoch
 */
export function timesOf(modifiedMs: Iterable<number>): Times {
  let [createdAt, modifiedAt] = [maxTimeMs, 0];
  for (const ms of modifiedMs) {
    createdAt = Math.min(createdAt, Math.max(ms, 0));
    modifiedAt = Math.max(modifiedAt, Math.min(ms, maxTimeMs));
  }
  return { createdAt, modifiedAt };
}

function versionOf(identity: readonly unknown[]): string {
  return hash("sha256", JSON.stringify(identity)).slice(0, 16);
}
