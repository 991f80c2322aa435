/**
 * What a codec makes of a request body, and what it is given of a response: neither knows a schema. Objects have
 * no prototype in requests, so that no name is special.
 */
export type Tree = null | boolean | number | string | NumberLiteral | readonly Tree[] | TreeObject;

export interface TreeObject {
  readonly [name: string]: Tree;
}

/** A number as it was written, to be judged and not rounded. */
export class NumberLiteral {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Deeper nesting than any message has; what is nested deeper is refused before it costs anything. */
export const maxDepth = 32;

export function isTreeObject(tree: Tree): tree is TreeObject {
  return (
    typeof tree === "object" && tree !== null && !Array.isArray(tree) && !(tree instanceof NumberLiteral)
  );
}

/** An object being built. */
export function emptyObject(): { [name: string]: Tree } {
  return Object.create(null);
}
