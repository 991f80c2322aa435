import type { ErrorCode, Node, YAMLError } from "yaml";

/** A line of a mapping. */
export interface YamlEntry {
  /** Counted from 1. */
  readonly line: number;
  readonly key: string;
  readonly value: YamlValue;
}

/** Every scalar is a text: `on`, `017` and `1_000` are what they look like. */
export type YamlValue =
  | { readonly kind: "text"; readonly text: string }
  /** Nothing, `null`, `~`, or a list without entries. */
  | { readonly kind: "nothing" }
  | { readonly kind: "list"; readonly texts: readonly string[] }
  | { readonly kind: "mapping"; readonly keys: readonly string[] }
  /** An alias, or a list of something else than texts. */
  | { readonly kind: "other" };

export interface YamlProblem {
  readonly line: number;
  /** Quotes nothing of the text, which may hold secrets. */
  readonly message: string;
}

const maxProblems = 10;

/** Parses a mapping in YAML. Without entries when there are problems. */
export async function parseYaml(
  text: string,
): Promise<{ readonly entries: readonly YamlEntry[]; readonly problems: readonly YamlProblem[] }> {
  // Only users of a file pay for the parser.
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  const { contents, errors, warnings } = parseDocument(text, {
    schema: "failsafe",
    stringKeys: true,
    // It would compare every key with every other one.
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "error",
    lineCounter: lines,
  });
  const lineOf = (offset = 0) => Math.max(1, lines.linePos(offset).line);
  if (errors.length + warnings.length > 0) {
    return { entries: [], problems: problemsOf([...errors, ...warnings], lineOf) };
  }
  if (contents === null) return { entries: [], problems: [] };
  if (!isMap<Node, Node>(contents)) {
    const message = "each line must have a name and a value, such as lease-seconds: 300";
    return { entries: [], problems: [{ line: 1, message }] };
  }
  const keyOf = (key: Node) => (isScalar(key) ? String(key.value) : "");
  const valueIn = (node: Node | null): YamlValue => {
    if (isScalar<string>(node)) {
      const isNothing = /^(~|null)?$/i.test(node.value) && node.type === "PLAIN";
      return isNothing ? { kind: "nothing" } : { kind: "text", text: node.value };
    }
    if (isMap<Node>(node)) return { kind: "mapping", keys: node.items.map(({ key }) => keyOf(key)) };
    if (!isSeq(node)) return { kind: "other" };
    if (node.items.length === 0) return { kind: "nothing" };
    const texts = node.items.filter((item) => isScalar<string>(item)).map(({ value }) => value);
    return texts.length < node.items.length ? { kind: "other" } : { kind: "list", texts };
  };
  const entries = contents.items.map(({ key, value }) => ({
    line: lineOf(key.range?.[0]),
    key: keyOf(key),
    value: valueIn(value),
  }));
  return { entries, problems: [] };
}

/** The first problem of each line. */
function problemsOf(problems: readonly YAMLError[], lineOf: (offset: number) => number): YamlProblem[] {
  const byLine = new Map<number, YamlProblem>();
  for (const { code, pos } of problems) {
    const line = lineOf(pos[0]);
    const message = explanations[code] ?? "this is not valid YAML";
    if (!byLine.has(line)) byLine.set(line, { line, message });
  }
  return [...byLine.values()].slice(0, maxProblems);
}

const explanations: Partial<Record<ErrorCode, string>> = {
  BAD_DQ_ESCAPE: "a backslash between double quotes must be doubled, or the quotes single",
  BAD_INDENT: "the indentation is wrong, or a bracket or a brace is not closed",
  BAD_SCALAR_START: "a value that begins with this character needs quotes",
  BLOCK_AS_IMPLICIT_KEY: "a value with a colon and a blank needs quotes",
  MISSING_CHAR: "a quote, a bracket, a brace or a comma is missing",
  MULTIPLE_DOCS: "only one document is allowed",
  NON_STRING_KEY: "a name must be a text",
  RESOURCE_EXHAUSTION: "this is nested too deeply",
  TAB_AS_INDENT: "tabs are not allowed as indentation",
  TAG_RESOLVE_FAILED: "tags (!) are not allowed; a text that begins with one needs quotes",
};
