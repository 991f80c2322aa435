import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** A script with everything that depends on its wire form. The SHA-1 of its text is its identity in Redis. */
export interface Script<Input, Output> {
  /** Of the file, and of its round trips in the metrics. */
  readonly name: string;
  /** With what it includes. */
  readonly text: string;
  readonly sha1: string;
  key(input: Input): string;
  args(input: Input): (string | number)[];
  output(reply: Reply): Output;
}

/** A tag and what belongs to it; strings and small integers only. */
export type Reply = readonly [tag: string, ...rest: (string | number)[]];

/** @param name of its file in `lua/`, without the extension */
export function script<Input, Output>(
  name: string,
  wire: Pick<Script<Input, Output>, "key" | "args" | "output">,
): Script<Input, Output> {
  return { name, ...readScript(name), ...wire };
}

const luaFolder = new URL("lua/", import.meta.url);
const include = /^-- @include (\S+)$/gm;

/**
 * Reads a script. A line `-- @include name` stands for the file `include/name.lua`, whose first lines say which
 * variables it needs.
 *
 * @throws Error when a file does not exist
 */
export function readScript(
  name: string,
  folder = luaFolder,
): { readonly text: string; readonly sha1: string } {
  const text = readLua(name, folder);
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
}

function readLua(name: string, folder: URL): string {
  const text = readFileSync(new URL(`${name}.lua`, folder), "utf8");
  return text.replace(include, (_, included: string) => readLua(`include/${included}`, folder).trimEnd());
}

export function unexpected(tag: string): Error {
  return new Error(`script answered with unknown tag ${tag}`);
}
