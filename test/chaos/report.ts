import { readFileSync, writeFileSync } from "node:fs";
import type { Result } from "./run-scenario.ts";

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

/** Writes the table of the last run into the page. */
export function writePage(results: readonly Result[], seed: number): void {
  const rows = [header, header.map(() => "---"), ...results.map(cellsOf)];
  const table = rows.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  const total = summaryLines(results).at(-1)!;
  const minutes = Math.round(results.reduce((sum, { seconds }) => sum + seconds, 0) / 60);
  const text = `${table}\n\nSeed ${seed}; ${minutes} minutes of calls. ${total}.\n`;
  const before = readFileSync(page, "utf8");
  const after = before.replace(
    /(<!-- run -->\n)[\s\S]*?(<!-- end -->)/,
    (_, start, end) => `${start}${text}${end}`,
  );
  writeFileSync(page, after);
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
