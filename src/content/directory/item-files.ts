import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { LibraryItem } from "../../domain/content-source.ts";
import { byName, isContentName, isHidden, unusableName } from "../names.ts";
import { mapInParallel } from "../parallel.ts";
import { type StoredFile, storedFile, typeOf, withType } from "../stored-files.ts";
import { realPathWithin, unlessMissing } from "./file-system.ts";

/**
 * The files of an item, by name; undefined when its folder is gone.
 *
 * @param root real path that no file may lie outside of
 * @param folder real path of the item's folder
 * @param skip called with the name of an entry that can't be content, and why
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
 * The type of an item by the names of its files, without a look at the files that do not decide it; undefined when the
 * item's folder is gone.
 *
 * @param root as for `listFiles`
 * @param folder as for `listFiles`
 */
export async function typeOfFiles(
  root: string,
  folder: string,
): Promise<Pick<LibraryItem, "type"> | undefined> {
  const entries = await visibleEntries(folder);
  const deciding = entries?.filter((entry) => typeOf([entry]) !== undefined);
  const files = deciding && (await filesOf(root, folder, deciding, () => {}));
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
  const files = await mapInParallel(entries, (entry) => fileOf(root, folder, entry, skip));
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
  return storedFile({ name, size, modifiedMs, stamp: modifiedMs });
}
