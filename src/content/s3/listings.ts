import type { LeaveOut } from "../left-out.ts";
import { byName, isContentName, isHidden, unusableName } from "../names.ts";
import { type StoredFile, storedFile } from "../stored-files.ts";
import type { Listed, S3Bucket } from "./bucket.ts";

export const libraryMetadata = ".library.json";
export const itemMetadata = ".item.json";

/** What the keys below `library/item/` tell of an item. */
export interface ListedItem {
  readonly metadata: Listed | undefined;
  /** By name, without those that can't be content. */
  readonly files: readonly ListedFile[];
  /** When whatever is directly below was modified, metadata included, in milliseconds since the epoch; at least one. */
  readonly modifiedMs: readonly number[];
}

export interface ListedFile extends StoredFile {
  readonly object: Listed;
}

export interface ListedLibrary {
  readonly metadata: Listed | undefined;
  readonly items: ReadonlyMap<string, ListedItem>;
  /** When whatever is below was modified, as far as it was listed, in milliseconds since the epoch; at least one. */
  readonly modifiedMs: readonly number[];
}

/** Names of the libraries, sorted. */
export async function listLibraries(bucket: S3Bucket, leaveOut: LeaveOut): Promise<string[]> {
  const names: string[] = [];
  for await (const { folders } of bucket.list("", { delimiter: "/" })) {
    for (const folder of folders) {
      const name = folder.slice(0, -1);
      if (isUsable(name, name, leaveOut)) names.push(name);
    }
  }
  return names.sort();
}

/**
 * All items of a library with their files, in as few requests as there can be: a thousand keys each. What is deeper is
 * passed over folder by folder. Undefined when nothing is below the name.
 */
export async function listLibrary(
  bucket: S3Bucket,
  library: string,
  leaveOut: LeaveOut,
): Promise<ListedLibrary | undefined> {
  const place = `${library}/`;
  const skipAfter = (last: string) => {
    const [item, folder, ...deeper] = last.slice(place.length).split("/");
    return deeper.length === 0 ? undefined : `${place}${item}/${folder}/`;
  };
  const modified = { earliest: Number.POSITIVE_INFINITY, latest: Number.NEGATIVE_INFINITY };
  let metadata: Listed | undefined;
  const objectsOf = new Map<string, Listed[]>();
  for await (const { objects } of bucket.list(place, { skipAfter })) {
    for (const object of objects) {
      modified.earliest = Math.min(modified.earliest, object.modifiedMs);
      modified.latest = Math.max(modified.latest, object.modifiedMs);
      const [name = "", file, ...deeper] = object.key.slice(place.length).split("/");
      if (file === undefined) {
        if (name === libraryMetadata) metadata = object;
      } else if (isUsable(name, place + name, leaveOut) && deeper.length === 0) {
        const found = objectsOf.get(name);
        if (found === undefined) objectsOf.set(name, [object]);
        else found.push(object);
      }
    }
  }
  if (modified.latest < modified.earliest) return undefined;
  const items = [...objectsOf].map(([name, objects]): [string, ListedItem] => [
    name,
    itemOf(`${place}${name}/`, objects, leaveOut),
  ]);
  return { metadata, items: new Map(items), modifiedMs: [modified.earliest, modified.latest] };
}

/** An item with its files; undefined when nothing is directly below its name. */
export async function listItem(
  bucket: S3Bucket,
  place: string,
  leaveOut: LeaveOut,
): Promise<ListedItem | undefined> {
  const objects: Listed[] = [];
  for await (const page of bucket.list(`${place}/`, { delimiter: "/" })) objects.push(...page.objects);
  return objects.length === 0 ? undefined : itemOf(`${place}/`, objects, leaveOut);
}

/** One object as it is listed; undefined when it is not there. */
export async function listObject(bucket: S3Bucket, key: string): Promise<Listed | undefined> {
  for await (const { objects } of bucket.list(key, { most: 1 })) {
    // It comes before all that only starts like it.
    return objects.find((object) => object.key === key);
  }
  return undefined;
}

function itemOf(place: string, objects: readonly Listed[], leaveOut: LeaveOut): ListedItem {
  const names = objects.map(({ key }) => key.slice(place.length));
  const files = objects.flatMap((object, index): ListedFile[] => {
    const name = names[index]!;
    // Some tools make an object of no bytes for a folder.
    if (name === "" || !isUsable(name, place + name, leaveOut)) return [];
    const { size, etag, modifiedMs } = object;
    return [{ ...storedFile({ name, size, modifiedMs, stamp: etag }), object }];
  });
  return {
    metadata: objects[names.indexOf(itemMetadata)],
    files: files.sort(byName),
    modifiedMs: objects.map(({ modifiedMs }) => modifiedMs),
  };
}

/** Whether something can have this name; it is told of when that is no wish of those who gave it. */
function isUsable(name: string, place: string, leaveOut: LeaveOut): boolean {
  if (isContentName(name)) return true;
  if (name === "." || name === "..") leaveOut(place, "its name stands for another place");
  else if (!isHidden(name)) leaveOut(place, unusableName);
  return false;
}
