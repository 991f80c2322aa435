import { basename } from "node:path";
import { identifierRule, isIdentifier } from "../domain/identifiers.ts";

/** Names that start with a dot are metadata, or not ours; `.` and `..` are among them. */
export function isHidden(name: string): boolean {
  return name.startsWith(".");
}

/**
 * Whether a library, an item or a file can have this name. Names that are not UTF-8 come from Node with
 * replacement characters, and can't be opened by them.
 */
export function isContentName(name: string): boolean {
  return isIdentifier(name) && !isHidden(name) && !name.includes("\ufffd") && basename(name) === name;
}

/** What to tell of a name that `isContentName` refuses. */
export const unusableName = `its name is not ${identifierRule}`;

/** Order of names, the same in every locale. */
export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  if (a.name === b.name) return 0;
  return a.name < b.name ? -1 : 1;
}
