/** The output of a run: tables between the marks of docs/performance.md, and a chart. */
import { readFileSync, writeFileSync } from "node:fs";
import { count } from "./formats.ts";
import { verdictCells } from "./goals.ts";
import { barChart } from "./plot.ts";
import { type Conditions, verdictsOf } from "./results.ts";
import type { StudyRun } from "./run-studies.ts";
import { table } from "./statistics.ts";
import type { BenchOptions, Table } from "./study.ts";

export const page = new URL("../docs/performance.md", import.meta.url);
const chart = new URL("../docs/performance.svg", import.meta.url);

export const conditionsTable = "conditions";

export function conditionsTableOf(conditions: Conditions): Table {
  const { machine, versions, sessions, callers, rounds, seconds, warmUpSeconds } = conditions;
  const { cores, processor, memoryGib, system } = machine;
  return {
    name: conditionsTable,
    title: "Conditions",
    header: ["", ""],
    rows: [
      ["machine", `${cores} × ${processor}, ${memoryGib} GiB, ${system}`],
      ["versions", `Node.js ${versions.node}, Redis ${versions.redis}`],
      ["sessions", `${count(sessions)} in Redis, one of them at random for each heartbeat`],
      ["callers", String(callers)],
      ["rounds", `${rounds}, interleaved, of ${seconds} s after ${warmUpSeconds} s of warm-up`],
    ],
  };
}

export function markdown({ title, header, rows }: Table): string {
  return `${title}\n\n${table(header, rows)}`;
}

const mark = /(<!-- table: ([\w-]+) -->\n)[\s\S]*?(<!-- end -->)/g;

/** Writes tables into the page; marks without a new table keep the old one. */
export function writePage(tables: readonly Table[]): void {
  const text = readFileSync(page, "utf8");
  writeFileSync(page, withTables(text, tables));
}

/** @throws Error when the page has no mark for a table */
export function withTables(text: string, tables: readonly Table[]): string {
  const missing = new Map(tables.map((entry) => [entry.name, entry]));
  const result = text.replace(mark, (whole, start: string, name: string, end: string) => {
    const entry = missing.get(name);
    missing.delete(name);
    return entry === undefined ? whole : `${start}${table(entry.header, entry.rows)}\n${end}`;
  });
  if (missing.size > 0) throw new Error(`no mark for the table ${[...missing.keys()].join(", ")}`);
  return result;
}

export function tableMarks(text: string): string[] {
  return [...text.matchAll(mark)].map((match) => match[2]!);
}

export const goalsTable = "goals";

export function goalsOf(runs: readonly StudyRun[]): Table {
  return {
    name: goalsTable,
    title: "What it must show",
    header: ["", "target", "measured", "met"],
    rows: runs.flatMap(verdictsOf).map(verdictCells),
  };
}

/** The tables of a run on the page; those of a study that was skipped say so. */
export function tablesOf({ study, result, missing }: StudyRun): readonly Table[] {
  if (study.isExtra) return [];
  if (result !== undefined) return result.tables;
  return study.tables.map((name) => ({
    name,
    title: name,
    header: ["not measured"],
    rows: [[`needs ${missing}`]],
  }));
}

/** Draws the bars of the studies that have some. */
export function writeChart(runs: readonly StudyRun[], { callers, rounds }: BenchOptions): void {
  const groups = runs.flatMap(({ result }) => result?.bars ?? []);
  if (groups.length === 0) return;
  const svg = barChart({
    title: "Heartbeats a second",
    subtitle: `${callers} callers, one Redis; bars are medians of ${rounds} rounds, lines go from the minimum to the maximum`,
    groups,
  });
  writeFileSync(chart, svg);
}
