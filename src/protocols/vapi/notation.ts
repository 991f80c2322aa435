import type { ErrorMessageId } from "../../domain/errors.ts";
import { ServiceError } from "../../domain/errors.ts";
import { isTreeObject, type Tree, type TreeObject } from "./tree.ts";

/** How one dialect encodes structures, optionals, maps and secrets. The binder and the encoder serve every notation. */
export interface Notation {
  readonly name: string;
  /** Whether a missing required field is an error here. If not, the operation reports what it misses. */
  readonly isStrict: boolean;
  /** Message ids of the errors for a value of the wrong type and for an unknown member. */
  readonly messages: { readonly type: ErrorMessageId; readonly unknown: ErrorMessageId };

  /** @param id canonical name of the structure */
  structure(members: TreeObject, id: string): Tree;
  /** @returns undefined to leave the member out */
  optional(value: Tree | undefined): Tree | undefined;
  secret(text: string): Tree;
  map(entries: readonly (readonly [string, Tree])[]): Tree;

  /** The members of a structure; undefined when the tree is not a structure. */
  readStructure(tree: Tree, id: string): TreeObject | undefined;
  /** The value, or null when unset; undefined when the tree is not an optional. */
  readOptional(tree: Tree): Tree | undefined;
  /** The text as a tree; undefined when the tree is not a secret. */
  readSecret(tree: Tree): Tree | undefined;
  /** The entries, any of which may lack its key or value; undefined when the tree is not a map. */
  readMap(tree: Tree): readonly (readonly [key: Tree | undefined, value: Tree | undefined])[] | undefined;
}

const plain = {
  isStrict: false,
  messages: { type: "downlease.argument.type", unknown: "downlease.argument.unknown" },
  structure: (members: TreeObject) => members,
  optional: (value: Tree | undefined) => value,
  secret: (text: string) => text,
  readStructure: (tree: Tree) => (isTreeObject(tree) ? tree : undefined),
  readOptional: (tree: Tree) => tree,
  readSecret: (tree: Tree) => tree,
} as const;

/** The 2014 binding and `/rest`: a map is a list of `{"key": …, "value": …}`. */
export const restNotation: Notation = {
  ...plain,
  name: "rest",
  map: (entries) => entries.map(([key, value]) => ({ key, value })),
  readMap: (tree) => entriesOf(tree, (item) => item),
};

/** `/api`: a map is an object. */
export const apiNotation: Notation = {
  ...plain,
  name: "api",
  map: (entries) => Object.fromEntries(entries),
  readMap: (tree) => (isTreeObject(tree) ? Object.entries(tree) : undefined),
};

/** The data values of vAPI's JSON-RPC, which carry their types. */
export const dataValueNotation: Notation = {
  name: "json-rpc",
  isStrict: true,
  messages: { type: "vapi.method.input.invalid", unknown: "vapi.data.structure.field.unexpected" },
  structure: (members, id) => ({ STRUCTURE: { [id]: members } }),
  optional: (value = null) => ({ OPTIONAL: value }),
  secret: (text) => ({ SECRET: text }),
  map: (entries) => entries.map(([key, value]) => ({ STRUCTURE: { "map-entry": { key, value } } })),
  readStructure(tree, id) {
    const named = unwrap(tree, "STRUCTURE");
    if (named === undefined || !isTreeObject(named)) return undefined;
    const [name, ...others] = Object.keys(named);
    if (name === undefined || others.length > 0) return undefined;
    if (name !== id) throw new ServiceError("vapi.data.structure.name.mismatch", [id, name]);
    const members = named[name]!;
    return isTreeObject(members) ? members : undefined;
  },
  // A bare null is accepted, too: it cannot be mistaken for a value.
  readOptional: (tree) => (tree === null ? null : unwrap(tree, "OPTIONAL")),
  readSecret: (tree) => unwrap(tree, "SECRET"),
  readMap: (tree) => entriesOf(tree, (item) => dataValueNotation.readStructure(item, "map-entry") ?? null),
};

/** The value of an object whose only member has this name. */
function unwrap(tree: Tree, name: string): Tree | undefined {
  if (!isTreeObject(tree) || !Object.hasOwn(tree, name)) return undefined;
  return Object.keys(tree).length === 1 ? tree[name] : undefined;
}

function entriesOf(tree: Tree, membersOf: (item: Tree) => Tree): ReturnType<Notation["readMap"]> {
  if (!Array.isArray(tree)) return undefined;
  const entries: (readonly [Tree | undefined, Tree | undefined])[] = [];
  for (const item of tree as readonly Tree[]) {
    const members = membersOf(item);
    if (!isTreeObject(members)) return undefined;
    const { key, value, ...others } = members;
    if (Object.keys(others).length > 0) return undefined;
    entries.push([key, value]);
  }
  return entries;
}
