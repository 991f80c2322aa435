import { basename } from "node:path";
import { v5 as nameBasedUuid } from "uuid";
import { identifierRule, isIdentifier } from "../domain/identifiers.ts";

/** Names that start with a dot are metadata, or not content; `.` and `..` are among them. */
export function isHidden(name: string): boolean {
  return name.startsWith(".");
}

/**
 * Whether a library, an item or a file can have this name. Names that are not UTF-8 come from Node with replacement
 * characters, and files can't be opened by them.
 */
export function isContentName(name: string): boolean {
  return isIdentifier(name) && !isHidden(name) && !name.includes("\ufffd") && basename(name) === name;
}

/** Why a name that `isContentName` refuses is left out. */
export const unusableName = `its name is not ${identifierRule}`;

/** Order of names, the same in every locale. */
export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  if (a.name === b.name) return 0;
  return a.name < b.name ? -1 : 1;
}

/** Namespace of the ids that are derived from names; every replica, and every kind of source, must use the same. */
const idNamespace = "0f6b1c52-8a3d-4d7e-9b64-2c5e7f1a9d38";

/** The id of a library or an item that declares none, derived from its place: `library` or `library/item`. */
export function derivedId(place: string): string {
  return nameBasedUuid(place, idNamespace);
}

/** The id of a content source, by the same rule: a storage that is mounted or copied elsewhere stays the same source. */
export const rootId = derivedId("");
