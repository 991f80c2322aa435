import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { readPage, rewritten, tables } from "../../docs/tables.ts";

const root = resolve(import.meta.dirname, "../..");

function read(page: string): string {
  return readFileSync(join(root, page), "utf8");
}

test.each(Object.entries(tables))(
  "the table %s is what the code has (npm run docs)",
  (name, { page, rows }) => {
    expect(rows().length).toBeGreaterThan(3);
    expect(readPage(page)).toContain(`<!-- table: ${name} -->`);
    expect(readPage(page)).toBe(rewritten(page));
  },
);

const pages = globSync(["*.md", "docs/**/*.md", ".github/*.md"], { cwd: root });

describe.each(pages)("%s", (page) => {
  const text = read(page);
  const prose = text.replace(/```[\s\S]*?```/g, "");

  test("links to files that exist", () => {
    const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map((match) => match[1]!);
    const missing = targets.filter((target) => !existsSync(join(root, dirname(page), target)));
    expect(missing).toEqual([]);
  });

  test("links to headings that exist", () => {
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)/g)];
    const missing = targets.filter(([, target, anchor]) => {
      const there = target === "" ? text : read(join(dirname(page), target!));
      return !anchorsOf(there).includes(anchor!);
    });
    expect(missing.map(([link]) => link)).toEqual([]);
  });

  test("names npm scripts that exist", () => {
    const { scripts } = JSON.parse(read("package.json"));
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1]!);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  test("names files of the repository that exist", () => {
    const named = [...prose.matchAll(/`((?:src|test|bench|deploy|docs|examples)\/[^`\s]*)`/g)];
    const missing = named
      .map((match) => match[1]!)
      .filter((path) => globSync(path, { cwd: root }).length === 0);
    expect(missing).toEqual([]);
  });
});

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}

describe("docs/architecture.md", () => {
  const text = read("docs/architecture.md");

  test("names every folder of src", () => {
    const folders = globSync("src/*/", { cwd: root }).map((path) => `${path.split("/")[1]}/`);
    expect(folders.length).toBeGreaterThan(5);
    expect(folders.filter((folder) => !text.includes(folder))).toEqual([]);
  });

  test("is a map: at most 120 lines", () => {
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(120);
  });
});

describe("docs/decisions", () => {
  const decisions = globSync("docs/decisions/*.md", { cwd: root }).filter(
    (page) => !page.endsWith("README.md"),
  );
  const list = read("docs/decisions/README.md");

  test.each(decisions)("%s has its date, context, decision and consequences", (page) => {
    const text = read(page);
    expect(page).toMatch(/\/\d{4}-[a-z0-9-]+\.md$/);
    expect(text).toMatch(/^# \d{4}\. .+\n\nDate: \d{4}-\d\d-\d\d\b/);
    const headings = [...text.matchAll(/^## (.+)$/gm)].map((match) => match[1]);
    expect(headings).toEqual(["Context", "Decision", "Consequences"]);
  });

  test("are all in the list, by number", () => {
    const listed = [...list.matchAll(/\]\((\d{4}-[^)]+)\)/g)].map((match) => match[1]);
    expect(listed).toEqual(decisions.map((page) => page.split("/").at(-1)).toSorted());
  });
});

test("docs/glossary.md is sorted, each word once", () => {
  const words = [...read("docs/glossary.md").matchAll(/^\| (.+?) \| /gm)]
    .map((match) => match[1]!.toLowerCase())
    .slice(2);
  expect(words.length).toBeGreaterThan(20);
  expect(words).toEqual([...new Set(words)].toSorted());
});

test.each(pages)("%s is in plain English", (page) => {
  const refused = /\b(tells?|telling|told|tellers?|untold|anew|whoever|corridors?|doors?|can't be had)\b/gi;
  const prose = read(page).replace(/`[^`\n]*`/g, "");
  expect([...prose.matchAll(refused)].map((match) => match[0])).toEqual([]);
});
