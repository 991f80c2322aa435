import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { occurrences, type SourceFile } from "../support/architecture.ts";

/** Words that a reader has to translate; docs/glossary.md has those of the field. */
const refused = ["told", "teller", "untold", "anew", "whoever", "can['’]t be had", "corridors?", "doors?"];

const root = resolve(import.meta.dirname, "../..");
const isText = (path: string) => /\.(ts|lua|sql|md|txt|json|ya?ml|html|css)$/.test(path);
const paths = ["src", "docs"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
);
const files: SourceFile[] = ["README.md", ...paths.filter(isText)].map((path) => ({
  path,
  text: readFileSync(join(root, path), "utf8"),
}));

test("src, docs and README.md are in plain words", () => {
  expect(occurrences(files, refused)).toEqual([]);
});

test.each(["what it was told", "const toldAt = 1;", "isTold()", "the JSON-RPC door", "one can't be had"])(
  "a refused word is noticed: %s",
  (text) => {
    expect(occurrences([{ path: "src/new.ts", text }], refused)).toHaveLength(1);
  },
);

test.each(["outdoors", "manifold", "an ewer", "doorbell"])(
  "a word that only holds one is not: %s",
  (text) => {
    expect(occurrences([{ path: "src/new.ts", text }], refused)).toEqual([]);
  },
);
