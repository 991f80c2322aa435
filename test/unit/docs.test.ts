import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { readPage, rewritten, tables } from "../../docs/tables.ts";

const root = resolve(import.meta.dirname, "../..");

test.each(Object.entries(tables))(
  "the table %s is what the code has (npm run docs)",
  (name, { page, rows }) => {
    expect(rows().length).toBeGreaterThan(3);
    expect(readPage(page)).toContain(`<!-- table: ${name} -->`);
    expect(readPage(page)).toBe(rewritten(page));
  },
);

const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

describe.each(pages)("%s", (page) => {
  const text = readFileSync(join(root, page), "utf8");

  test("links to files that exist", () => {
    const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map((match) => match[1]!);
    const missing = targets.filter((target) => !existsSync(join(root, dirname(page), target)));
    expect(missing).toEqual([]);
  });

  test("names npm scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1]!);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

test("docs/architecture.md names every folder of src", () => {
  const text = readFileSync(join(root, "docs/architecture.md"), "utf8");
  const folders = readdirSync(join(root, "src"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${entry.name}/`);
  expect(folders.filter((folder) => !text.includes(folder))).toEqual([]);
});
