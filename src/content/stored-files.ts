import { hash } from "node:crypto";
import { extname } from "node:path";
import type { ItemFile, LibraryItem } from "../domain/content-source.ts";
import type { Checksums } from "./manifest.ts";
import { timesOf } from "./times.ts";

export interface StoredFile extends ItemFile {
  /** Milliseconds since the epoch, whole ones: not every storage keeps more. */
  readonly modifiedMs: number;
  /** What changes with the content, besides the size: a modification time, or what the storage calls a version. */
  readonly stamp: number | string;
}

export function storedFile(file: Omit<StoredFile, "version">): StoredFile {
  return { ...file, version: versionOf([file.size, file.stamp]) };
}

/**
 * Content version, size and, as far as the names tell, type of an item with these files.
 *
 * @param files by name
 */
export function summaryOf(
  files: readonly StoredFile[],
): Pick<LibraryItem, "contentVersion" | "size" | "type"> {
  const identity = files.map(({ name, size, stamp }) => [name, size, stamp]);
  return {
    contentVersion: versionOf(identity),
    size: files.reduce((total, file) => total + file.size, 0),
    ...withType(typeOf(files)),
  };
}

/** What an item declares, or is called for want of that. */
export interface DescribedItem extends Pick<LibraryItem, "id" | "name" | "description" | "type"> {
  readonly library: { readonly id: string };
}

/**
 * An item with these files.
 *
 * @param modifiedMs of all that its times follow from
 */
export function libraryItemOf(
  { id, library, name, description, type }: DescribedItem,
  files: readonly StoredFile[],
  modifiedMs: readonly number[],
): LibraryItem {
  return {
    ...summaryOf(files),
    ...timesOf(modifiedMs),
    id,
    libraryId: library.id,
    name,
    ...(description !== undefined && { description }),
    ...(type !== undefined && { type }),
  };
}

/** What is told of the files of an item. */
export function itemFilesOf(files: readonly StoredFile[], known: Checksums): ItemFile[] {
  return files.map(({ name, size, version }) => {
    const checksums = known.get(name);
    return { name, size, version, ...(checksums !== undefined && { checksums }) };
  });
}

export function withType(type: string | undefined): Pick<LibraryItem, "type"> {
  return type === undefined ? {} : { type };
}

export function typeOf(files: Iterable<{ readonly name: string }>): string | undefined {
  const extensions = new Set([...files].map(({ name }) => extname(name).toLowerCase()));
  if (extensions.has(".ovf") || extensions.has(".ova")) return "ovf";
  return extensions.has(".iso") ? "iso" : undefined;
}

function versionOf(identity: readonly unknown[]): string {
  return hash("sha256", JSON.stringify(identity)).slice(0, 16);
}
