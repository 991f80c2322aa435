import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { LibraryItem } from "../../domain/content-source.ts";
import { mapInBatches } from "../batches.ts";
import { byName, isContentName, isHidden, unusableName } from "../names.ts";
import { type StoredFile, storedFile, typeOf, withType } from "../stored-files.ts";
import { realPathWithin, unlessMissing } from "./confined.ts";

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
  return storedFile({ name, size, modifiedMs, stamp: modifiedMs });
}
