import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(resolve(root, path), "utf8");
const { version } = JSON.parse(read("package.json"));

test("the lock file has the version of the package", () => {
  const lock = JSON.parse(read("package-lock.json"));
  expect([lock.version, lock.packages[""].version]).toEqual([version, version]);
});

test("the changelog has what is not released, then each release with its date, the newest first", () => {
  const headings = [...read("CHANGELOG.md").matchAll(/^## (.*)$/gm)].map(([, heading]) => heading!);
  const [unreleased, ...releases] = headings;
  expect(unreleased).toBe("Unreleased");
  const parts = releases.map((release) => /^(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$/.exec(release)?.slice(1));
  expect(parts).not.toContain(undefined);
  expect(parts[0]![0]).toBe(version);
  const dates = parts.map((part) => part![1]!);
  expect(dates).toEqual(dates.toSorted().reverse());
});

test("groups of the changelog are those of Keep a Changelog", () => {
  const groups = [...read("CHANGELOG.md").matchAll(/^### (.*)$/gm)].map(([, group]) => group);
  const known = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
  expect(groups.filter((group) => !known.includes(group!))).toEqual([]);
});

test("pages name packages of this version", () => {
  const named = ["docs/sdk.md", "docs/releasing.md"].flatMap((page) => [
    ...read(page).matchAll(/downlease(?:-client)?-(\d+\.\d+\.\d+)\.tgz/g),
  ]);
  expect(named.length).toBeGreaterThan(2);
  expect(named.filter(([, each]) => each !== version)).toEqual([]);
});
