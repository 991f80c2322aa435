/**
 * The schema-free value that codecs decode request bodies into and encode responses from. Objects in requests have no
 * prototype, so no member name is special.
 */
export type Tree = null | boolean | number | string | NumberLiteral | readonly Tree[] | TreeObject;

export interface TreeObject {
  readonly [name: string]: Tree;
}

/** A number as it was written, not rounded. */
export class NumberLiteral {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Maximum nesting, more than any message needs; deeper input is refused before it is parsed. */
export const maxDepth = 32;

export function isTreeObject(tree: Tree): tree is TreeObject {
  return (
    typeof tree === "object" && tree !== null && !Array.isArray(tree) && !(tree instanceof NumberLiteral)
  );
}

/** A new object without a prototype. */
export function emptyObject(): { [name: string]: Tree } {
  return Object.create(null);
}
