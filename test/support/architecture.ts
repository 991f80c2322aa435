import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** A file of the repository; its path begins at the root of the checkout. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** What the files of a room may import besides each other, `gen` included. */
export interface Walls {
  readonly rooms?: readonly string[];
  readonly packages?: readonly string[];
  /** Built-in modules of Node.js, without `node:`, besides those that compute or wait and do nothing else. */
  readonly node?: readonly string[];
  /** Not even these. */
  readonly pure?: boolean;
}

/** Built-in modules that every room may import unless its row says `pure`. */
const harmless = ["buffer", "crypto", "events", "path", "stream", "timers/promises", "url", "util"];

export type Rooms = Readonly<Record<string, Walls>>;

/** The TypeScript files below some folders, tests aside. */
export function filesOf(root: string, ...folders: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.tsx?$/.test(name) && !/\.test\.tsx?$/.test(name))
      .map((name) => `${folder}/${name}`)
      .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") })),
  );
}

/** Relative specifiers as paths from the root, all others as they are written. Types count as well. */
export function importsOf({ path, text }: SourceFile): string[] {
  const statements = withoutComments(text).matchAll(/\b(?:from\s|import[\s(])\s*"([^"\n]+)"/g);
  return [...statements].map(([, specifier = ""]) =>
    specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : specifier,
  );
}

/** The room of a file in `src` is the longest entry of the table that its path begins with, else its first folder. */
export function roomOf(path: string, rooms: Rooms): string {
  if (path.startsWith("gen/")) return "gen";
  const parts = path.replace(/^src\//, "").split("/");
  const prefixes = parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
  return prefixes.find((prefix) => prefix in rooms) ?? parts[0]!;
}

/** Imports that the table does not allow, a line each. */
export function breaches(files: readonly SourceFile[], rooms: Rooms): string[] {
  return files.flatMap((file) => {
    const room = roomOf(file.path, rooms);
    const walls = rooms[room];
    if (walls === undefined) return [`${room} is not in the table of rooms`];
    return importsOf(file)
      .filter((target) => !allows(walls, room, target, rooms))
      .map((target) => `${file.path} imports ${target}`);
  });
}

/** Entries of the table that no file makes use of, a line each. */
export function unusedAllowances(files: readonly SourceFile[], rooms: Rooms): string[] {
  const used = new Map<string, Set<string>>(Object.keys(rooms).map((room) => [room, new Set()]));
  for (const file of files) {
    for (const target of importsOf(file)) used.get(roomOf(file.path, rooms))?.add(nameOf(target, rooms));
  }
  return Object.entries(rooms).flatMap(([room, { rooms: others = [], packages = [], node = [] }]) =>
    [...others, ...packages, ...node.map((name) => `node:${name}`)]
      .filter((name) => !used.get(room)!.has(name))
      .map((name) => `${room} does not import ${name}`),
  );
}

/** Groups of files that import each other, directly or through others; sorted. */
export function circles(files: readonly SourceFile[]): string[][] {
  const imports = new Map(files.map((file) => [file.path, importsOf(file)]));
  const reachable = new Map<string, Set<string>>();
  for (const path of imports.keys()) {
    const seen = new Set<string>();
    const open = [...imports.get(path)!];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next) || !imports.has(next)) continue;
      seen.add(next);
      open.push(...imports.get(next)!);
    }
    reachable.set(path, seen);
  }
  const groups = [...imports.keys()]
    .filter((path) => reachable.get(path)!.has(path))
    .map((path) => [...reachable.get(path)!].filter((other) => reachable.get(other)!.has(path)).sort());
  return [...new Map(groups.map((group) => [group.join(), group])).values()].sort();
}

/** Files that read environment variables, or have a library read one. */
export function environmentReaders(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ text }) => /\bprocess\.env\b|\benv\b.*"(?:node:)?process"|\.env\(/.test(withoutComments(text)))
    .map(({ path }) => path);
}

/** Where words occur, in names as well (`told`, `toldAt`, `isTold`); a line each: file, line, word. */
export function occurrences(files: readonly SourceFile[], words: readonly string[]): string[] {
  const inNames = words.map((word) => `${word[0]!.toUpperCase()}${word.slice(1)}`);
  const pattern = new RegExp(
    `(?:(?<!\\p{L})(?:${words.join("|")})|(?:${inNames.join("|")}))(?!\\p{Ll})`,
    "gu",
  );
  return files.flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, index) => [...line.matchAll(pattern)].map(([word]) => `${path}:${index + 1}: ${word}`)),
  );
}

function allows(
  { rooms: others = [], packages = [], node = [], pure = false }: Walls,
  room: string,
  target: string,
  rooms: Rooms,
): boolean {
  const name = nameOf(target, rooms);
  if (name.startsWith("node:")) {
    return (pure ? node : [...node, ...harmless]).includes(name.slice("node:".length));
  }
  return name === room || others.includes(name) || packages.includes(name);
}

/** The room, the package or the built-in module that an import leads to. */
function nameOf(target: string, rooms: Rooms): string {
  if (/^(?:src|gen)\//.test(target)) return roomOf(target, rooms);
  if (target.startsWith("node:")) return target;
  return target
    .split("/")
    .slice(0, target.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Good enough for code that a formatter has been over: a `//` within a string stands behind a colon. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(?<![:"'`\\])\/\/.*$/gm, "");
}
