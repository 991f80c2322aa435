/** Contenders of one driver at maximum rate, each in turn. */

import {
  type ProbedContender,
  type RunningContender,
  startContender,
  startProbedContender,
} from "./contender-process.ts";
import * as contenders from "./contenders.ts";
import type { ObtainHeaders } from "./credentials.ts";
import type { Driver, DriverCall, Header, Target } from "./drivers/driver.ts";
import type { FigureRow, Figures } from "./figures.ts";
import { count, range, times } from "./formats.ts";
import type { Goal } from "./goals.ts";
import { closedLoop, type LoadResult } from "./load.ts";
import { NeedMissing } from "./needs.ts";
import type { BarGroup } from "./plot.ts";
import { inRounds } from "./rounds.ts";
import { median, quantile, ratio, spread } from "./statistics.ts";
import type { Bench, Study, StudyResult, Table } from "./study.ts";

export interface Row {
  readonly driver: Driver;
  readonly contender: contenders.Contender;
  /** Label in the table; the contender's name by default. */
  readonly label?: string;
  /** Number of callers; by default the run's option. */
  readonly callers?: number;
  /** Share of the callers in the run's option. */
  readonly callersShare?: number;
  /** Authentication of the callers; the contender must refuse calls without it. */
  readonly credentials?: ObtainHeaders;
  /** Label of the row that its figures are compared with; by default the first. */
  readonly peer?: string;
}

/** One contender in one round. CPU time is per heartbeat. */
type ThroughputRound = {
  /** Heartbeats per second. */
  readonly rate: number;
  readonly cpuMicros: number;
  /** Heartbeats per second of CPU time. */
  readonly perCpuSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** CPU time of the load generator; must be small beside the contender's. */
  readonly generatorMicros: number;
};

/** What the probe of a contender reads. */
type Probed = {
  /** Per heartbeat. */
  readonly allocatedBytes: number;
  /** Milliseconds. */
  readonly loopDelayP99: number;
};

const metrics: Figures["metrics"] = {
  rate: { unit: "heartbeats/s", better: "more" },
  cpuMicros: { unit: "µs of server CPU", better: "less" },
  // The inverse of the one before, for goals that are for calls of a CPU second.
  perCpuSecond: { unit: "heartbeats per second of server CPU", better: "neither" },
  p50: { unit: "ms", better: "less" },
  p99: { unit: "ms", better: "less" },
  allocatedBytes: { unit: "bytes", better: "less", isSteady: true },
  loopDelayP99: { unit: "ms", better: "less" },
  generatorMicros: { unit: "µs of the generator's CPU", better: "neither" },
};

export interface ThroughputGroup {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly budgetSeconds: number;
  readonly goals: readonly Goal[];
  readonly isExtra?: boolean;
  /** Ratios are to the first. */
  readonly rows: readonly Row[];
}

export const rowsOf = (driver: Driver, ...list: readonly contenders.Contender[]): Row[] =>
  list.map((contender) => ({ driver, contender }));

export function throughputStudy(group: ThroughputGroup): Study {
  const { name, description, budgetSeconds, goals, isExtra = false } = group;
  return {
    name,
    description,
    budgetSeconds,
    isExtra,
    tables: [name],
    goals,
    run: (bench) => run(group, bench),
  };
}

async function run(group: ThroughputGroup, bench: Bench): Promise<StudyResult> {
  const { rounds, seconds, warmUpSeconds } = bench.options;
  const running = new Map<contenders.Contender, RunningContender | ProbedContender>();
  try {
    const missing = await startAll(group.rows, running, bench);
    const rows = group.rows.filter((row) => missing[labelOf(row)] === undefined);
    const serverOf = (row: Row) => running.get(row.contender)!;
    for (const row of rows) await measure(row, serverOf(row), warmUpOf(row, rows) * warmUpSeconds, bench);
    const measured = await inRounds(rows, rounds, async (row, round) => {
      const result = await measure(row, serverOf(row), seconds, bench);
      bench.log(
        `${group.name} ${round}/${rounds} ${labelOf(row)}: ${count(result.rate)}/s, ` +
          `${result.cpuMicros.toFixed(1)} µs, generator ${result.generatorMicros.toFixed(1)} µs`,
      );
      return result;
    });
    const probed: (Probed | undefined)[] = [];
    for (const row of rows) probed.push(await probe(row, serverOf(row), seconds, bench));
    const figureRows = rows.map((row, index) => figureRow(row, measured[index]!, rows[0]!));
    return {
      tables: [tableOf(group, rows, measured, probed)],
      figures: {
        metrics,
        rows: [...figureRows, ...rows.flatMap((row, index) => probedRow(row, probed[index]))],
        missing,
      },
      bars: barsOf(group.title, rows, measured),
    };
  } finally {
    await Promise.all([...running.values()].map((contender) => contender.stop()));
  }
}

/** Part of the usual warm-up. V8 goes on optimising for some seconds; the second row of a contender needs fewer. */
function warmUpOf(row: Row, rows: readonly Row[]): number {
  return rows.find(({ contender }) => contender === row.contender) === row ? 1 : 0.5;
}

/** Returns the labels of rows whose contender needs what this machine lacks, and what that is. */
async function startAll(
  rows: readonly Row[],
  running: Map<contenders.Contender, RunningContender>,
  { redis, directory }: Bench,
): Promise<Record<string, string>> {
  const missing: Record<string, string> = {};
  const start = async (contender: contenders.Contender) => {
    try {
      const started =
        contender.executable === undefined
          ? await startProbedContender(contender, redis.url, directory)
          : await startContender(contender, redis.url);
      running.set(contender, started);
    } catch (error) {
      if (!(error instanceof NeedMissing)) throw error;
      for (const row of rows) if (row.contender === contender) missing[labelOf(row)] = error.needs;
    }
  };
  const started = await Promise.allSettled(
    new Set(rows.map(({ contender }) => contender)).values().map(start),
  );
  const failed = started.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return missing;
}

function figureRow(row: Row, rounds: readonly ThroughputRound[], first: Row): FigureRow {
  const peer = row.peer ?? labelOf(first);
  return {
    name: labelOf(row),
    ...(row !== first && { peer }),
    ...(!ours.has(row.contender) && { isPeer: true }),
    rounds,
  };
}

function probedRow(row: Row, probed: Probed | undefined): FigureRow[] {
  if (probed === undefined) return [];
  const { contender } = row;
  return [
    {
      name: `${labelOf(row)}, with a probe`,
      ...(!ours.has(contender) && { isPeer: true }),
      rounds: [probed],
    },
  ];
}

const ours = new Set([
  contenders.downlease,
  contenders.downleaseWithTwoWorkers,
  contenders.downleaseWithLogin,
]);

function barsOf(
  title: string,
  rows: readonly Row[],
  measured: readonly (readonly ThroughputRound[])[],
): BarGroup {
  const bars = rows.map((row, index) => {
    const { median: value, min, max } = spread(measured[index]!.map(({ rate }) => rate));
    return { label: labelOf(row), value, min, max, isOurs: ours.has(row.contender) };
  });
  return { title, bars };
}

/** Runs a load with the row's callers. */
async function drive<Result>(
  row: Row,
  { port }: RunningContender,
  { options, sessionIds }: Bench,
  load: (calls: readonly DriverCall[]) => Promise<Result>,
): Promise<Result> {
  const { driver, contender } = row;
  const callers = row.callers ?? Math.ceil(options.callers * (row.callersShare ?? 1));
  const target = { port, sessionIds, callers };
  const headers = row.credentials && (await credentialsOf(row, row.credentials, target));
  const open = await driver.open({ ...target, headers });
  try {
    return await load(open.calls);
  } catch (error) {
    throw new Error(`${contender.name} failed at the driver ${driver.name}`, { cause: error });
  } finally {
    open.close();
  }
}

function measure(
  row: Row,
  server: RunningContender,
  seconds: number,
  bench: Bench,
): Promise<ThroughputRound> {
  return drive(row, server, bench, async (calls) => {
    const before = server.cpuSeconds();
    const generatorBefore = process.cpuUsage();
    const result = await closedLoop(calls, seconds);
    const generator = process.cpuUsage(generatorBefore);
    const cpu = server.cpuSeconds() - before;
    const heartbeats = heartbeatsOf(result, row);
    return {
      rate: heartbeats / result.seconds,
      cpuMicros: (cpu * 1e6) / heartbeats,
      perCpuSecond: heartbeats / cpu,
      p50: quantile(result.latencies, 0.5),
      p99: quantile(result.latencies, 0.99),
      generatorMicros: (generator.user + generator.system) / heartbeats,
    };
  });
}

/** Part of the length of a measurement. */
const probedShare = 1 / 2;

/** In a time of its own, because the probe costs CPU time; undefined for a contender that has none. */
async function probe(
  row: Row,
  server: RunningContender | ProbedContender,
  seconds: number,
  bench: Bench,
): Promise<Probed | undefined> {
  if (!("probe" in server)) return undefined;
  return drive(row, server, bench, async (calls) => {
    let heartbeats = 0;
    const reading = await server.probe(async () => {
      heartbeats = heartbeatsOf(await closedLoop(calls, seconds * probedShare), row);
    });
    return { allocatedBytes: reading.allocatedBytes / heartbeats, loopDelayP99: reading.loopDelayP99Ms };
  });
}

/** @throws Error when the contender serves callers without credentials: then authentication would cost nothing */
async function credentialsOf(
  { driver, contender }: Row,
  credentials: ObtainHeaders,
  target: Target,
): Promise<readonly Header[]> {
  const anonymous = await driver.open({ ...target, callers: 1 });
  const outcome = await anonymous.calls[0]!();
  anonymous.close();
  if (outcome !== "failed") throw new Error(`${contender.name} serves callers without credentials`);
  return credentials(target.port);
}

/** @throws Error unless every heartbeat was accepted: failing fast must not look good */
function heartbeatsOf({ accepted, unavailable, failed, lost, error }: LoadResult, { driver }: Row): number {
  if (accepted === 0 || unavailable + failed + lost > 0) {
    throw new Error(`${accepted} accepted, ${unavailable} unavailable, ${failed} failed, ${lost} lost`, {
      cause: error,
    });
  }
  return accepted * driver.heartbeats;
}

export function labelOf({ label, contender }: Row): string {
  return label ?? contender.name;
}

function tableOf(
  { name, title }: Pick<ThroughputGroup, "name" | "title">,
  all: readonly Row[],
  measured: readonly (readonly ThroughputRound[])[],
  probed: readonly (Probed | undefined)[],
): Table {
  const pick = (rounds: readonly ThroughputRound[], key: keyof ThroughputRound) =>
    rounds.map((round) => round[key]);
  const reference = measured[0]!;
  return {
    name,
    title,
    header: [
      "",
      "heartbeats/s",
      "spread",
      "server CPU µs",
      "p50 ms",
      "p99 ms",
      "allocated bytes",
      "loop delay p99 ms",
      "rate ratio",
      "CPU ratio",
    ],
    rows: all.map((row, index) => {
      const rounds = measured[index]!;
      const middle = (key: keyof ThroughputRound) => median(pick(rounds, key));
      return [
        labelOf(row),
        count(middle("rate")),
        range(spread(pick(rounds, "rate"))),
        middle("cpuMicros").toFixed(1),
        middle("p50").toFixed(2),
        middle("p99").toFixed(2),
        probed[index] === undefined ? "" : count(probed[index].allocatedBytes),
        probed[index]?.loopDelayP99.toFixed(1) ?? "",
        times(ratio(pick(rounds, "rate"), pick(reference, "rate"))),
        times(ratio(pick(rounds, "cpuMicros"), pick(reference, "cpuMicros"))),
      ];
    }),
  };
}
