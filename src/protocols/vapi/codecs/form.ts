import { emptyObject, isTreeObject, maxDepth, type Tree, type TreeObject } from "../tree.ts";
import { decodePercent, decodeUtf8, malformed } from "./utf8.ts";

/** Decoded name and value. */
export type Pair = readonly [name: string, value: string];

/**
 * Reads `name=value&…`, a form body or a query string. Empty pairs are skipped (the documented samples begin with
 * `&`), and so are raw line breaks (the samples print one pair a line). `+` is a space.
 */
export function decodePairs(text: string): Pair[] {
  const pairs: Pair[] = [];
  if (text === "") return pairs;
  for (const part of text.replace(/[\r\n]+/g, "").split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = equals < 0 ? part : part.slice(0, equals);
    pairs.push([decodePart(name), equals < 0 ? "" : decodePart(part.slice(equals + 1))]);
  }
  return pairs;
}

const encoded = /[%+]/;

/** Reads a form body: `outer.inner=value` nests, `list.1=a&list.2=b` is a list. */
export function decodeForm(bytes: Buffer): TreeObject {
  return nest(decodePairs(decodeUtf8(bytes)));
}

/** Nests pairs by the dots in their names; a repeated name becomes a list. */
export function nest(pairs: readonly Pair[]): TreeObject {
  const root = emptyObject();
  for (const [name, value] of pairs) {
    const segments = name.split(".");
    if (segments.length > maxDepth) throw malformed("the form is nested too deeply");
    if (segments.includes("")) throw malformed(`'${name}' is not a parameter name`);
    const last = segments.pop()!;
    let target = root;
    for (const segment of segments) {
      target[segment] ??= emptyObject();
      const child: Tree = target[segment];
      if (!isTreeObject(child)) throw malformed(`'${name}' is both a value and a structure`);
      target = child as { [name: string]: Tree };
    }
    const present = target[last];
    if (present === undefined) target[last] = value;
    else if (typeof present === "string") target[last] = [present, value];
    else if (Array.isArray(present)) present.push(value);
    else throw malformed(`'${name}' is both a value and a structure`);
  }
  return root;
}

function decodePart(text: string): string {
  return encoded.test(text) ? decodePercent(text.replaceAll("+", " ")) : text;
}
