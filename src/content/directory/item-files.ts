import type { BigIntStats, Dirent } from "node:fs";
import type { LibraryItem } from "../../domain/content-source.ts";
import { byName, isContentName, isHidden, unusableName } from "../names.ts";
import { mapInParallel } from "../parallel.ts";
import { type StoredFile, storedFile, typeOf, withType } from "../stored-files.ts";
import { fileStateOf, type Located } from "./located.ts";

/** Called with the name of an entry that can't be content, and why. */
type Skip = (name: string, reason: string) => void;

/** The files of an item, by name. */
export async function listFiles(folder: Located, skip: Skip): Promise<StoredFile[]> {
  return (await filesOf(folder, await visibleEntries(folder), skip)).sort(byName);
}

/** The type of an item by the names of its files, without a look at the files that do not decide it. */
export async function typeOfFiles(folder: Located): Promise<Pick<LibraryItem, "type">> {
  const deciding = (await visibleEntries(folder)).filter((entry) => typeOf([entry]) !== undefined);
  return withType(typeOf(await filesOf(folder, deciding, () => {})));
}

async function visibleEntries(folder: Located): Promise<Dirent[]> {
  return (await folder.entries()).filter(({ name }) => !isHidden(name));
}

async function filesOf(folder: Located, entries: readonly Dirent[], skip: Skip): Promise<StoredFile[]> {
  const files = await mapInParallel(entries, (entry) => fileOf(folder, entry, skip));
  return files.filter((file) => file !== undefined);
}

async function fileOf(folder: Located, entry: Dirent, skip: Skip): Promise<StoredFile | undefined> {
  const { name } = entry;
  if (!entry.isFile() && !entry.isSymbolicLink()) return undefined;
  if (!isContentName(name)) {
    skip(name, unusableName);
    return undefined;
  }
  const stats = entry.isSymbolicLink() ? await statTarget(folder, name, skip) : await folder.statEntry(name);
  const state = fileStateOf(stats);
  return state && storedFile({ name, ...state, stamp: state.modifiedMs });
}

async function statTarget(folder: Located, name: string, skip: Skip): Promise<BigIntStats | undefined> {
  using target = await folder.entry(name);
  if (target === undefined) skip(name, "it is a link that leads nowhere inside of the root");
  return await target?.stat();
}
