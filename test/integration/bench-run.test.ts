import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { nginx } from "../../bench/needs.ts";
import { readResults } from "../../bench/results.ts";
import { studies } from "../../bench/studies/studies.ts";
import { tempDir } from "../support/temp-dir.ts";

const run = join(import.meta.dirname, "../../bench/run.ts");

/** Prints tables of its own, for more than a minute. */
const printsOnly = "redis";

/** Those that need nothing but what the tests of the service need, too. */
const names = studies
  .filter(({ name, needs = [] }) => name !== printsOnly && needs.every((need) => need === nginx))
  .map(({ name }) => name);

/** Everything in it is checked as it is measured: a heartbeat that is not accepted or a wrong file is a failure. */
test("every study measures all of its rows", { timeout: 240_000 }, async () => {
  await using directory = await tempDir();
  const json = join(directory.path, "results.json");
  const args = [run, "--quick", "--no-build", "--only", names.join(","), "--json", json];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  expect(status, stderr).toBe(0);

  const results = readResults(json);
  expect(results.studies.map(({ name }) => name)).toEqual(names);
  for (const { name, rows, missing = {}, metrics, goals } of results.studies) {
    expect(rows.length, name).toBeGreaterThan(1);
    expect(Object.keys(missing).filter((row) => !row.startsWith("Go,"))).toEqual([]);
    for (const { name: row, values } of rows) {
      expect(Object.keys(values).length, row).toBeGreaterThan(0);
      for (const [metric, rounds] of Object.entries(values)) {
        expect(metrics[metric], `${row}, ${metric}`).toBeDefined();
        expect(rounds.length, `${row}, ${metric}`).toBeGreaterThan(0);
      }
    }
    for (const { what, measured, reason } of goals) {
      expect(measured !== undefined || /^needs .*--no-build|^needs Go/.test(reason!), what).toBe(true);
      expect(stdout).toContain(what);
    }
  }
});

test("a study that is named but can't be measured is an error", async () => {
  const child = spawn(process.execPath, [run, "--only", "no-such-study"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  expect(stderr).toContain("no study no-such-study; there are rest, ");
  expect(status).toBe(2);
});
