/** Compares two runs row by row, and separates what changed from noise. */
import type { Conditions, ResultRow, ResultStudy, Results } from "./results.ts";
import { median, type Spread, shift } from "./statistics.ts";

export type Judgement = "better" | "worse" | "noise" | "too few rounds" | "another machine";

/** One metric of a row in both runs. */
export interface Change {
  readonly study: string;
  readonly row: string;
  readonly metric: string;
  readonly unit: string;
  /** Row of the same run that the values are divided by; the speed of the machine cancels out. */
  readonly peer?: string;
  /** Medians. */
  readonly before: number;
  readonly after: number;
  /** After to before; undefined with too few rounds. */
  readonly ratio?: Spread;
  readonly judgement: Judgement;
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** How many times slower the peers are: what the machine did to both. */
  readonly drift?: Spread;
  /** What differs in the conditions. */
  readonly conditions: readonly string[];
  /** Rows and studies of one run that the other lacks. */
  readonly missing: readonly string[];
  readonly added: readonly string[];
  /** Goals that are met in one run only. */
  readonly goals: readonly string[];
}

/** Smaller changes are noise, whatever the rounds say. */
const smallestChange = 0.05;

export function compare(before: Results, after: Results): Comparison {
  const pairs = pairsOf(before, after);
  const drift = driftOf(pairs);
  const isSameMachine = isEqual(machineOf(before.conditions), machineOf(after.conditions));
  return {
    changes: pairs.filter(({ row }) => !row.isPeer).map((pair) => changeOf(pair, isSameMachine, drift)),
    ...(drift !== undefined && { drift }),
    conditions: differences(before.conditions, after.conditions),
    missing: absent(before, after),
    added: absent(after, before),
    goals: changedGoals(before, after),
  };
}

/** A metric that a row has in both runs. */
interface Pair {
  readonly study: ResultStudy;
  readonly row: ResultRow;
  readonly metric: string;
  readonly values: Values;
  readonly others: Values;
}

/** Of one run. */
interface Values {
  readonly values: readonly number[];
  readonly peer?: string;
}

function pairsOf(before: Results, after: Results): Pair[] {
  return after.studies.flatMap((study) => {
    const old = before.studies.find(({ name }) => name === study.name);
    return study.rows.flatMap((row) => {
      const oldRow = old?.rows.find(({ name }) => name === row.name);
      if (old === undefined || oldRow === undefined) return [];
      return Object.keys(row.values).flatMap((metric) => {
        if ((study.metrics[metric]?.better ?? "neither") === "neither" || !oldRow.values[metric]) return [];
        const [values, others] = samePeer(valuesOf(study, row, metric), valuesOf(old, oldRow, metric));
        return values.values.length + others.values.length === 0
          ? []
          : [{ study, row, metric, values, others }];
      });
    });
  });
}

/** With and without its peer; the peer must have the metric in the same rounds. */
interface PossibleValues {
  readonly alone: readonly number[];
  readonly toPeer?: { readonly peer: string; readonly values: readonly number[] };
}

function valuesOf({ rows }: ResultStudy, row: ResultRow, metric: string): PossibleValues {
  const all = row.values[metric]!;
  const others = rows.find(({ name }) => name === row.peer)?.values[metric];
  const alone = numbers(all);
  if (others?.length !== all.length) return { alone };
  const ratios = numbers(all.map((value, round) => quotient(value, others[round] ?? null)));
  return ratios.length < alone.length ? { alone } : { alone, toPeer: { peer: row.peer!, values: ratios } };
}

function samePeer(now: PossibleValues, old: PossibleValues): [Values, Values] {
  if (now.toPeer !== undefined && now.toPeer.peer === old.toPeer?.peer) return [now.toPeer, old.toPeer];
  return [{ values: now.alone }, { values: old.alone }];
}

function numbers(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function quotient(value: number | null, other: number | null): number | null {
  return value === null || other === null || other === 0 ? null : value / other;
}

function changeOf(
  { study, row, metric, values, others }: Pair,
  isSameMachine: boolean,
  drift: Spread | undefined,
): Change {
  const { unit, isSteady = false } = study.metrics[metric]!;
  const ratio = shift(values.values, others.values);
  const change = {
    study: study.name,
    row: row.name,
    metric,
    unit,
    ...(values.peer !== undefined && { peer: values.peer }),
    before: median(others.values),
    after: median(values.values),
  };
  if (ratio === undefined) return { ...change, judgement: "too few rounds" };
  const dependsOnMachine = values.peer === undefined && !isSteady;
  if (dependsOnMachine && !isSameMachine) return { ...change, ratio, judgement: "another machine" };
  const cost = costOf(ratio, study, metric);
  return { ...change, ratio, judgement: judgementOf(cost, dependsOnMachine ? drift : undefined) };
}

/** As a factor of what it costs, so that more is worse. */
function costOf(ratio: Spread, { metrics }: ResultStudy, metric: string): Spread {
  if (metrics[metric]!.better === "less") return ratio;
  return { median: 1 / ratio.median, min: 1 / ratio.max, max: 1 / ratio.min };
}

/** @param drift a change within it is noise */
function judgementOf(cost: Spread, drift: Spread = { median: 1, min: 1, max: 1 }): Judgement {
  if (cost.min > Math.max(1, drift.max) && cost.median >= 1 + smallestChange) return "worse";
  if (cost.max < Math.min(1, drift.min) && cost.median <= 1 / (1 + smallestChange)) return "better";
  return "noise";
}

/** Of the rates of the peers, without what they are compared with; nothing of the service is in them. */
function driftOf(pairs: readonly Pair[]): Spread | undefined {
  const costs = pairs
    .filter(({ study, row, metric }) => row.isPeer && study.metrics[metric]!.better === "more")
    .filter(({ values }) => values.peer === undefined)
    .map(({ values, others }) => median(others.values) / median(values.values))
    .filter(Number.isFinite);
  if (costs.length === 0) return undefined;
  return { median: median(costs), min: Math.min(...costs), max: Math.max(...costs) };
}

function machineOf({ machine, versions }: Conditions) {
  return [machine, versions.node.split(".")[0], versions.redis.split(".")[0]];
}

function differences(before: Conditions, after: Conditions): string[] {
  return Object.keys(after)
    .map((key) => key as keyof Conditions)
    .filter((key) => !isEqual(before[key], after[key]))
    .map((key) => `${key}: ${JSON.stringify(before[key])} → ${JSON.stringify(after[key])}`);
}

function isEqual(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** Names of the studies and rows of one run that the other lacks, with the reason if there is one. */
function absent(from: Results, within: Results): string[] {
  return from.studies.flatMap((study) => {
    if (study.needs !== undefined) return [];
    const other = within.studies.find(({ name }) => name === study.name);
    if (other === undefined) return [study.name];
    if (other.needs !== undefined) return [`${study.name}: needs ${other.needs}`];
    return study.rows
      .filter(({ name }) => !other.rows.some((row) => row.name === name))
      .map(({ name }) => {
        const needs = other.missing?.[name];
        return `${study.name}/${name}${needs === undefined ? "" : `: needs ${needs}`}`;
      });
  });
}

function changedGoals(before: Results, after: Results): string[] {
  const old = new Map(before.studies.flatMap(({ goals }) => goals).map((goal) => [goal.what, goal]));
  return after.studies
    .flatMap(({ goals }) => goals)
    .flatMap(({ what, target, met, measured }) => {
      const then = old.get(what);
      if (met === undefined || then?.met === undefined || then.met === met) return [];
      return [
        `${met ? "met now" : "missed now"}: ${what} (${target}): ${then.measured?.text} → ${measured?.text}`,
      ];
    });
}
