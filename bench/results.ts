/** A run as JSON: conditions, the figures of every round, and the goals. `bench/compare.ts` compares two of them. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { z } from "zod";
import type { FigureRow } from "./figures.ts";
import { judge, unmeasured, type Verdict } from "./goals.ts";
import type { StudyRun } from "./run-studies.ts";
import type { Bench } from "./study.ts";

/** Of the last whole run. */
export const resultsFile = new URL("../docs/performance.json", import.meta.url);

/** Incremented when a reader of the version before would misread the file. */
const schemaVersion = 1;

const conditions = z.object({
  machine: z.object({ cores: z.number(), processor: z.string(), memoryGib: z.number(), system: z.string() }),
  versions: z.object({ node: z.string(), redis: z.string() }),
  sessions: z.number(),
  callers: z.number(),
  rounds: z.number(),
  seconds: z.number(),
  warmUpSeconds: z.number(),
  isQuick: z.boolean(),
});

const metric = z.object({
  unit: z.string(),
  better: z.enum(["more", "less", "neither"]),
  isSteady: z.boolean().optional(),
});

const row = z.object({
  name: z.string(),
  peer: z.string().optional(),
  isPeer: z.boolean().optional(),
  /** By metric, a value for each round; null is no number, for example a latency of no calls. */
  values: z.record(z.string(), z.array(z.number().nullable())),
});

const measured = z.object({ median: z.number(), min: z.number(), max: z.number(), text: z.string() });

const goal = z.object({
  what: z.string(),
  target: z.string(),
  measured: measured.optional(),
  met: z.boolean().optional(),
  reason: z.string().optional(),
});

const study = z.object({
  name: z.string(),
  seconds: z.number(),
  /** What the machine lacked, if the study was skipped. */
  needs: z.string().optional(),
  metrics: z.record(z.string(), metric),
  rows: z.array(row),
  /** Rows that were not measured, and what they need. */
  missing: z.record(z.string(), z.string()).optional(),
  goals: z.array(goal),
});

const results = z.object({
  schema: z.literal(schemaVersion),
  /** Of the source, and whether files differed from it. */
  commit: z.string(),
  isModified: z.boolean(),
  conditions,
  studies: z.array(study),
});

export type Conditions = z.infer<typeof conditions>;
export type ResultRow = z.infer<typeof row>;
export type ResultStudy = z.infer<typeof study>;
export type Results = z.infer<typeof results>;

export function conditionsOf({ options, sessionIds }: Bench, redisVersion: string): Conditions {
  const { callers, rounds, seconds, warmUpSeconds, isQuick } = options;
  const processors = cpus();
  return {
    machine: {
      cores: processors.length,
      processor: processors[0]?.model ?? "unknown",
      memoryGib: Math.round(totalmem() / 2 ** 30),
      system: "Linux",
    },
    versions: { node: process.versions.node, redis: redisVersion },
    ...{ sessions: sessionIds.length, callers, rounds, seconds, warmUpSeconds, isQuick },
  };
}

export function verdictsOf({ study, result, missing }: StudyRun): Verdict[] {
  return study.goals.map((each) =>
    result === undefined
      ? unmeasured(each, missing === undefined ? "the study failed" : `needs ${missing}`)
      : judge(each, result.figures),
  );
}

/** Without studies that failed. */
export function resultsOf(runs: readonly StudyRun[], ofRun: Conditions): Results {
  return {
    schema: schemaVersion,
    ...sourceVersion(),
    conditions: ofRun,
    studies: runs.flatMap((run) => (run.failure === undefined ? [studyOf(run)] : [])),
  };
}

function studyOf(run: StudyRun): ResultStudy {
  const { study: of, result, missing: needs, seconds } = run;
  const { metrics = {}, rows = [], missing } = result?.figures ?? {};
  return {
    name: of.name,
    seconds: Math.round(seconds),
    ...(needs !== undefined && { needs }),
    metrics,
    rows: rows.map(rowOf),
    ...(missing !== undefined && Object.keys(missing).length > 0 && { missing }),
    goals: verdictsOf(run),
  };
}

function rowOf({ rounds, ...rest }: FigureRow): ResultRow {
  const names = new Set(rounds.flatMap((round) => Object.keys(round)));
  const values = [...names].map((name) => [name, rounds.map((round) => rounded(round[name]))] as const);
  return { ...rest, values: Object.fromEntries(values) };
}

/** Five digits are more than a measurement has. */
function rounded(value: number | undefined): number | null {
  if (value === undefined || !Number.isFinite(value)) return null;
  return Number.isInteger(value) ? value : Number(value.toPrecision(5));
}

function sourceVersion(): Pick<Results, "commit" | "isModified"> {
  const git = (...args: string[]) =>
    spawnSync("git", args, { cwd: import.meta.dirname, encoding: "utf8" }).stdout?.trim() ?? "";
  return {
    commit: git("rev-parse", "--short=12", "HEAD") || "unknown",
    isModified: git("status", "--porcelain") !== "",
  };
}

/** One line a row and a goal, so that differences of two versions can be read. */
export function writeResults(path: string | URL, { studies, ...head }: Results): void {
  const list = (name: string, entries: readonly unknown[]) =>
    `"${name}":[${entries.map((entry) => `\n   ${JSON.stringify(entry)}`).join(",")}]`;
  const texts = studies.map(({ rows, goals, ...rest }) =>
    [JSON.stringify(rest).slice(0, -1), list("rows", rows), `${list("goals", goals)}}`].join(",\n  "),
  );
  const text = `${JSON.stringify(head).slice(0, -1)},\n"studies":[\n ${texts.join(",\n ")}\n]}\n`;
  writeFileSync(path, text);
}

/** @throws Error for a person to read */
export function readResults(path: string | URL): Results {
  const parsed = results.safeParse(JSON.parse(readFileSync(path, "utf8")));
  if (parsed.success) return parsed.data;
  throw new Error(`${path} has no results of schema ${schemaVersion}: ${z.prettifyError(parsed.error)}`);
}
