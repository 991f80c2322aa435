import { readFileSync, writeFileSync } from "node:fs";
import type { Result } from "./run-scenario.ts";
import { scenarios } from "./scenarios/scenarios.ts";

const page = new URL("../../docs/reliability.md", import.meta.url);

const header = ["scenario", "store", "seconds", "operations", "unknown", "violations", "documented"];

/** A table for a terminal, and a last line that says what was checked. */
export function summaryLines(results: readonly Result[]): string[] {
  const rows = [header, ...results.map(cellsOf)];
  const widths = header.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  "),
  );
  const sum = (of: (result: Result) => number) => results.reduce((total, result) => total + of(result), 0);
  const operations = sum(({ findings }) => findings.operations);
  const sessions = sum(({ findings }) => findings.sessions);
  const violations = sum((result) => result.violations.length);
  const undecided = sum(({ findings }) => findings.undecided);
  return [
    ...lines,
    ...(undecided > 0 ? [`${counted(undecided, "session")} had too many calls to search for an order`] : []),
    `${counted(results.length, "scenario")}, ${counted(sessions, "session")}, ${counted(operations, "operation")} checked: ${counted(violations, "violation")}`,
  ];
}

/** For example `1 session`, `2 sessions`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Writes the rows of these scenarios into the table of the page; others keep theirs. */
export function writePage(results: readonly Result[]): void {
  const before = readFileSync(page, "utf8");
  const fresh = new Map(results.map((result) => [result.scenario.name, cellsOf(result)]));
  const stored = new Map(rowsIn(before).map((cells) => [cells[0]!, cells]));
  const cells = scenarios.flatMap(({ name }) => {
    const row = fresh.get(name) ?? stored.get(name);
    return row === undefined ? [] : [row];
  });
  const sum = (column: number) => cells.reduce((total, row) => total + Number(row[column]), 0);
  const total = ["all", "", ...header.slice(2).map((_, index) => String(sum(index + 2)))];
  const lines = [header, header.map(() => "---"), ...cells, total].map((row) => `| ${row.join(" | ")} |\n`);
  writeFileSync(
    page,
    before.replace(run, (_, start, end) => `${start}${lines.join("")}${end}`),
  );
}

const run = /(<!-- run -->\n)[\s\S]*?(<!-- end -->)/;

function rowsIn(text: string): string[][] {
  const lines = run.exec(text)?.[0].split("\n") ?? [];
  return lines.filter((line) => line.startsWith("|")).map((line) => line.slice(2, -2).split(" | "));
}

function cellsOf({ scenario, seconds, findings, violations, documented }: Result): string[] {
  const { operations, unknown } = findings;
  return [
    scenario.name,
    scenario.store,
    seconds.toFixed(0),
    ...[operations, unknown, violations.length, documented.length].map(String),
  ];
}
