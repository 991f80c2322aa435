import { byName, isContentName, isHidden, unusableName } from "../names.ts";
import { type StoredFile, storedFile } from "../stored-files.ts";
import type { LeaveOut } from "../warnings.ts";
import type { ListedObject, S3Bucket } from "./bucket.ts";

export const libraryMetadata = ".library.json";
export const itemMetadata = ".item.json";

/** An item by the keys below `library/item/`. */
export interface ListedItem {
  readonly metadata: ListedObject | undefined;
  /** By name, without those that can't be content. */
  readonly files: readonly ListedFile[];
  /** Modification times of all objects directly below, metadata included, in milliseconds since the epoch; at least one. */
  readonly modifiedMs: readonly number[];
}

/** A file and its object. */
export interface ListedFile extends StoredFile {
  readonly object: ListedObject;
}

/** A library by the keys below `library/`. */
export interface ListedLibrary {
  readonly metadata: ListedObject | undefined;
  readonly items: ReadonlyMap<string, ListedItem>;
  /** Earliest and latest modification time of the listed objects below, in milliseconds since the epoch. */
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
 * Lists all items of a library with their files, in as few requests as possible: a thousand keys each. Deeper folders
 * are skipped one by one. Undefined when there is nothing below the name.
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
  let metadata: ListedObject | undefined;
  const objectsOf = new Map<string, ListedObject[]>();
  for await (const { objects } of bucket.list(place, { skipAfter })) {
    for (const object of objects) {
      modified.earliest = Math.min(modified.earliest, object.modifiedMs);
      modified.latest = Math.max(modified.latest, object.modifiedMs);
      const [name = "", file, ...deeper] = object.key.slice(place.length).split("/");
      if (file === undefined) {
        if (name === libraryMetadata) metadata = object;
      } else if (isUsable(name, place + name, leaveOut) && deeper.length === 0) {
        const ofItem = objectsOf.get(name);
        if (ofItem === undefined) objectsOf.set(name, [object]);
        else ofItem.push(object);
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
  const objects: ListedObject[] = [];
  for await (const page of bucket.list(`${place}/`, { delimiter: "/" })) objects.push(...page.objects);
  return objects.length === 0 ? undefined : itemOf(`${place}/`, objects, leaveOut);
}

/** Lists one object; undefined when it does not exist. */
export async function listObject(bucket: S3Bucket, key: string): Promise<ListedObject | undefined> {
  for await (const { objects } of bucket.list(key, { maxKeys: 1 })) {
    // It sorts before all keys that it is only a prefix of.
    return objects.find((object) => object.key === key);
  }
  return undefined;
}

function itemOf(place: string, objects: readonly ListedObject[], leaveOut: LeaveOut): ListedItem {
  const names = objects.map(({ key }) => key.slice(place.length));
  const files = objects.flatMap((object, index): ListedFile[] => {
    const name = names[index]!;
    // Some tools make an empty object for a folder.
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

/** Whether something can have this name; one that is not hidden on purpose is reported. */
function isUsable(name: string, place: string, leaveOut: LeaveOut): boolean {
  if (isContentName(name)) return true;
  if (name === "." || name === "..") leaveOut(place, "its name stands for another place");
  else if (!isHidden(name)) leaveOut(place, unusableName);
  return false;
}
