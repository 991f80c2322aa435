import { hash } from "node:crypto";
import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import type { ItemFile, LibraryItem } from "../domain/content-source.ts";
import { mapInBatches } from "./batches.ts";
import { realPathWithin, unlessMissing } from "./confined.ts";
import { byName, isContentName, isHidden, unusableName } from "./names.ts";

export interface StoredFile extends ItemFile {
  /** Milliseconds since the epoch, whole ones: not every file system keeps more. */
  readonly modifiedMs: number;
}

/**
 * The files of an item, by name; undefined when its folder is gone.
 *
 * @param root real path that no file may lie outside of
 * @param folder real path of the item's folder
 * @param skip is told the name of an entry that can't be content, and why
 */
export async function listFiles(
  root: string,
  folder: string,
  skip: (name: string, reason: string) => void,
): Promise<StoredFile[] | undefined> {
  const entries = await visibleEntries(folder);
  const files = entries && (await filesOf(root, folder, entries, skip));
  return files?.sort(byName);
}

/**
 * The type of an item as far as the names of its files tell, without a look at the other files; undefined when its
 * folder is gone.
 *
 * @param root as for `listFiles`
 * @param folder as for `listFiles`
 */
export async function typeOfFiles(
  root: string,
  folder: string,
): Promise<Pick<LibraryItem, "type"> | undefined> {
  const entries = await visibleEntries(folder);
  const telling = entries?.filter((entry) => typeOf([entry]) !== undefined);
  const files = telling && (await filesOf(root, folder, telling, () => {}));
  return files && withType(typeOf(files));
}

async function visibleEntries(folder: string): Promise<Dirent[] | undefined> {
  const entries = await unlessMissing(readdir(folder, { withFileTypes: true }));
  return entries?.filter(({ name }) => !isHidden(name));
}

async function filesOf(
  root: string,
  folder: string,
  entries: readonly Dirent[],
  skip: (name: string, reason: string) => void,
): Promise<StoredFile[]> {
  const files = await mapInBatches(entries, (entry) => fileOf(root, folder, entry, skip));
  return files.filter((file) => file !== undefined);
}

async function fileOf(
  root: string,
  folder: string,
  entry: Dirent,
  skip: (name: string, reason: string) => void,
): Promise<StoredFile | undefined> {
  const { name } = entry;
  if (!entry.isFile() && !entry.isSymbolicLink()) return undefined;
  if (!isContentName(name)) {
    skip(name, unusableName);
    return undefined;
  }
  const path = join(folder, name);
  const real = entry.isSymbolicLink() ? await realPathWithin(root, path) : path;
  if (real === undefined) {
    skip(name, "it is a link that leads nowhere inside of the root");
    return undefined;
  }
  const stats = await unlessMissing(lstat(real, { bigint: true }));
  if (!stats?.isFile()) return undefined;
  const [size, modifiedMs] = [Number(stats.size), Number(stats.mtimeMs)];
  return { name, size, modifiedMs, version: versionOf([size, modifiedMs]) };
}

/** Content version, size and, as far as the names tell, type of an item with these files. */
export function summaryOf(
  files: readonly StoredFile[],
): Pick<LibraryItem, "contentVersion" | "size" | "type"> {
  const identity = files.map(({ name, size, modifiedMs }) => [name, size, modifiedMs]);
  return {
    contentVersion: versionOf(identity),
    size: files.reduce((total, file) => total + file.size, 0),
    ...withType(typeOf(files)),
  };
}

function versionOf(identity: readonly unknown[]): string {
  return hash("sha256", JSON.stringify(identity)).slice(0, 16);
}

function withType(type: string | undefined): Pick<LibraryItem, "type"> {
  return type === undefined ? {} : { type };
}

function typeOf(files: readonly { readonly name: string }[]): string | undefined {
  const extensions = new Set(files.map(({ name }) => extname(name).toLowerCase()));
  if (extensions.has(".ovf") || extensions.has(".ova")) return "ovf";
  return extensions.has(".iso") ? "iso" : undefined;
}
