/** The output of a run: tables between the marks of docs/performance.md, and a chart. */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import * as contenders from "./contenders.ts";
import { barChart } from "./plot.ts";
import { rowName } from "./results.ts";
import { spread, table } from "./statistics.ts";
import { groups, labelOf } from "./studies/throughput.ts";
import type { Bench, Table } from "./study.ts";

export const page = new URL("../docs/performance.md", import.meta.url);
const chart = new URL("../docs/performance.svg", import.meta.url);

export const conditionsTable = "conditions";

export function conditionsOf({ options, sessionIds }: Bench, redisVersion: string): Table {
  const processors = cpus();
  return {
    name: conditionsTable,
    title: "Conditions",
    header: ["", ""],
    rows: [
      [
        "machine",
        `${processors.length} × ${processors[0]?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux`,
      ],
      ["versions", `Node.js ${process.versions.node}, Redis ${redisVersion}`],
      [
        "sessions",
        `${sessionIds.length.toLocaleString("en")} in Redis, one of them at random for each heartbeat`,
      ],
      ["callers", String(options.callers)],
      [
        "rounds",
        `${options.rounds}, interleaved, of ${options.seconds} s after ${options.warmUpSeconds} s of warm-up`,
      ],
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

const ours = new Set([
  contenders.downlease,
  contenders.downleaseWithTwoWorkers,
  contenders.downleaseWithLogin,
]);

/** Draws the rates of every driver that was measured. */
export function writeChart({ results, options }: Bench): void {
  const measured = groups.flatMap((group) => {
    const bars = group.rows.flatMap((row) => {
      const rounds = results.throughput.get(rowName(row.driver.name, labelOf(row)));
      if (rounds === undefined) return [];
      const { median: value, min, max } = spread(rounds.map(({ rate }) => rate));
      const isOurs = ours.has(row.contender);
      return [{ label: labelOf(row), value, min, max, isOurs }];
    });
    return bars.length === 0 ? [] : [{ title: group.title, bars }];
  });
  if (measured.length === 0) return;
  const svg = barChart({
    title: "Heartbeats a second",
    subtitle: `${options.callers} callers, one Redis; bars are medians of ${options.rounds} rounds, lines go from the minimum to the maximum`,
    groups: measured,
  });
  writeFileSync(chart, svg);
}
