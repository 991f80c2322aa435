import { isTreeObject, maxDepth, NumberLiteral, type Tree, type TreeObject } from "../tree.ts";
import { decodeUtf8, malformed } from "./utf8.ts";

type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown;
const parse = JSON.parse as (text: string, reviver: Reviver) => Tree;
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** A text without any of this has only integers that JSON.parse keeps as they are, at half the cost. */
const otherNumber = /\d[.eE]|\d{16}|-0/;

/** Keeps numbers as they were written; JSON.parse would round 2^63 and take 1e1 for an integer. */
const keepNumbers: Reviver = (_key, value, context) =>
  typeof value === "number" ? new NumberLiteral(context.source ?? String(value)) : value;

/** Reads a JSON object. */
export function decodeJson(bytes: Buffer): TreeObject {
  const tree = parseJson(decodeUtf8(bytes));
  if (!isTreeObject(tree)) throw malformed("the body must be a JSON object");
  return tree;
}

/** Reads a JSON value. */
export function parseJson(text: string): Tree {
  // So many brackets need as many characters.
  if (text.length > maxDepth && nestingOf(text) > maxDepth) throw malformed("the JSON is nested too deeply");
  try {
    return otherNumber.test(text) ? parse(text, keepNumbers) : JSON.parse(text);
  } catch (error) {
    throw malformed(`the JSON is not well-formed${reasonOf(error as Error)}`);
  }
}

/**
 * The text of a member of the outermost object, as it was written; undefined when it is no string or number.
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

/** What V8 says, without the piece of the body that it quotes: there may be a password in it. */
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

/** How deep the brackets outside of strings are nested; recursion must not begin before this is known. */
function nestingOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (inString) {
      if (char === backslash) index++;
      else if (char === quote) inString = false;
    } else if (char === quote) inString = true;
    else if (char === openBrace || char === openBracket) deepest = Math.max(deepest, ++depth);
    else if (char === closeBrace || char === closeBracket) depth--;
  }
  return deepest;
}
