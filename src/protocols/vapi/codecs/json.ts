import { isTreeObject, maxDepth, NumberLiteral, type Tree, type TreeObject } from "../tree.ts";
import { decodeUtf8, malformed } from "./utf8.ts";

type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown;
const parse = JSON.parse as (text: string, reviver: Reviver) => Tree;
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** JSON.parse keeps all numbers of a text that does not match exact, at half the cost of a reviver. */
const otherNumber = /\d[.eE]|\d{16}|-0/;

/** Keeps numbers as written; JSON.parse would round 2^63 and turn 1e1 into an integer. */
const keepNumbers: Reviver = (_key, value, context) =>
  typeof value === "number" ? new NumberLiteral(context.source ?? String(value)) : value;

/** Reads a JSON object. `null` is an empty body: some client libraries send it for none. */
export function decodeJson(bytes: Buffer): TreeObject | null {
  const tree = parseJson(decodeUtf8(bytes));
  if (tree !== null && !isTreeObject(tree)) throw malformed("the body must be a JSON object");
  return tree;
}

/** Reads a JSON value. */
export function parseJson(text: string): Tree {
  // A shorter text cannot be nested that deeply.
  if (text.length > maxDepth && nestingOf(text) > maxDepth) throw malformed("the JSON is nested too deeply");
  try {
    return otherNumber.test(text) ? parse(text, keepNumbers) : JSON.parse(text);
  } catch (error) {
    throw malformed(`the JSON is not well-formed${reasonOf(error as Error)}`);
  }
}

/**
 * Source text of a member of the outermost object; undefined when it is not a string or number.
 *
 * @param text well-formed JSON
 */
export function sourceOf(text: string, member: string): string | undefined {
  const sources = new Map<unknown, string | undefined>();
  const noteSource: Reviver = function (key, value, { source }) {
    if (key === member) sources.set(this, source);
    return value;
  };
  return sources.get(parse(text, noteSource));
}

/** V8's message without its quote of the body, which may contain a password. */
function reasonOf({ message }: Error): string {
  const [reason = ""] = message.split(/(?:^|, )(?:\.\.\.)?"/, 1);
  return reason === "" ? "" : ` (${reason.replace(/\s+/g, " ")})`;
}

export function encodeJson(tree: Tree): string {
  return JSON.stringify(tree, writeNumbers);
}

function writeNumbers(_key: string, value: unknown): unknown {
  return value instanceof NumberLiteral ? rawJson(value.text) : value;
}

const quote = 0x22;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** Nesting depth of the brackets outside strings. Computed before parsing, because the parser recurses. */
function nestingOf(text: string): number {
  let depth = 0;
  let maxSeen = 0;
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (inString) {
      if (char === backslash) index++;
      else if (char === quote) inString = false;
    } else if (char === quote) inString = true;
    else if (char === openBrace || char === openBracket) maxSeen = Math.max(maxSeen, ++depth);
    else if (char === closeBrace || char === closeBracket) depth--;
  }
  return maxSeen;
}
