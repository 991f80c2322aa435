/** What callers see at half of the service's maximum rate, and at five times the maximum. */

import { startContender } from "../contender-process.ts";
import { downleaseBounded } from "../contenders.ts";
import type { Driver, DriverCall } from "../drivers/driver.ts";
import { drivers } from "../drivers/drivers.ts";
import { type FigureRow, type Figures, valuesOf } from "../figures.ts";
import { count, percent } from "../formats.ts";
import { type Goal, valueGoal } from "../goals.ts";
import { closedLoop, type LoadResult, openLoop } from "../load.ts";
import { median, quantile } from "../statistics.ts";
import type { Bench, Study, Table } from "../study.ts";

const fold = 5;
const overloadDrivers: readonly Driver[] = [drivers.rest, drivers.grpc];

interface OverloadRound {
  /** A closed loop with the usual number of callers; its rate is the maximum that the other fields refer to. */
  readonly maximum: LoadResult;
  /** An open loop at half of the maximum. */
  readonly half: LoadResult;
  /** An open loop at five times the maximum and with five times the callers: more than the service admits at a time. */
  readonly fivefoldRate: LoadResult;
  /** A closed loop with five times the callers, who call again at once when they are turned away. */
  readonly fivefoldCallers: LoadResult;
}

const models: readonly (readonly [keyof OverloadRound, string])[] = [
  ["maximum", "maximum: as fast as it goes"],
  ["half", "half of the maximum, open loop"],
  ["fivefoldRate", "5 × the maximum, open loop"],
  ["fivefoldCallers", "5 × the callers, closed loop"],
];

export const overloadStudy: Study = {
  name: "overload",
  description: "latency at half of the maximum rate, and at five times the maximum",
  budgetSeconds: 110,
  tables: overloadDrivers.map(({ name }) => `overload-${name}`),
  goals: overloadDrivers.flatMap(goalsOf),
  async run(bench) {
    const tables: Table[] = [];
    const rows: FigureRow[] = [];
    for (const driver of overloadDrivers) {
      const rounds = await study(driver, bench);
      rows.push(
        ...models.map(([key]) => ({
          name: rowName(driver, key),
          rounds: rounds.map((round) => figuresOf(round[key])),
        })),
      );
      tables.push(tableOf(driver, rounds));
    }
    return { tables, figures: { metrics, rows } };
  },
};

const metrics: Figures["metrics"] = {
  acceptedRate: { unit: "calls/s", better: "more" },
  p50: { unit: "ms", better: "less" },
  p99: { unit: "ms", better: "less" },
  unavailable: { unit: "calls", better: "neither" },
  failed: { unit: "calls", better: "less" },
  lost: { unit: "calls", better: "less" },
};

function figuresOf({ accepted, seconds, unavailable, failed, lost, latencies }: LoadResult) {
  const [p50, p99] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
  return { acceptedRate: accepted / seconds, p50, p99, unavailable, failed, lost };
}

function rowName(driver: Driver, model: keyof OverloadRound): string {
  return `${driver.name}, ${model}`;
}

function nameOf(driver: Driver): string {
  return driver === drivers.rest ? "REST" : "gRPC";
}

function goalsOf(driver: Driver): Goal[] {
  const p99 = (what: string, target: string, ...keys: (keyof OverloadRound)[]) =>
    valueGoal({
      what: `${nameOf(driver)}: p99 ${what}`,
      target,
      metric: "p99",
      rows: keys.map((key) => rowName(driver, key)),
    });
  return [
    p99("at half of the maximum", "≤ 5 ms", "half"),
    p99("of accepted calls, five-fold overload", "< 50 ms", "fivefoldRate", "fivefoldCallers"),
    answeredGoal(driver),
  ];
}

function answeredGoal(driver: Driver): Goal {
  return {
    what: `${nameOf(driver)}: five-fold overload, calls neither accepted nor turned away as unavailable`,
    target: "= 0",
    measure(figures) {
      const sum = (metric: string) =>
        (["fivefoldRate", "fivefoldCallers"] as const)
          .flatMap((key) => valuesOf(figures, rowName(driver, key), metric))
          .reduce((total, value) => total + value, 0);
      const [failed, lost] = [sum("failed"), sum("lost")];
      const total = failed + lost;
      const text = `${failed} errors, ${lost} lost (${count(sum("unavailable"))} turned away)`;
      return { median: total, min: total, max: total, text };
    },
  };
}

async function study(driver: Driver, bench: Bench): Promise<OverloadRound[]> {
  const { rounds, seconds, callers, warmUpSeconds } = bench.options;
  const server = await startContender(downleaseBounded, bench.redis.url);
  const drive = async (count: number, load: (calls: readonly DriverCall[]) => Promise<LoadResult>) => {
    const open = await driver.open({ port: server.port, sessionIds: bench.sessionIds, callers: count });
    try {
      return await load(open.calls);
    } finally {
      open.close();
    }
  };
  try {
    await drive(callers, (calls) => closedLoop(calls, warmUpSeconds));
    const measured: OverloadRound[] = [];
    for (let round = 1; round <= rounds; round++) {
      const maximum = await drive(callers, (calls) => closedLoop(calls, seconds));
      const rate = maximum.accepted / maximum.seconds;
      const half = await drive(callers, (calls) =>
        openLoop(calls, { rate: rate / 2, seconds, whenBusy: "wait" }),
      );
      const fivefoldRate = await drive(callers * fold, (calls) =>
        openLoop(calls, { rate: rate * fold, seconds, whenBusy: "drop" }),
      );
      const fivefoldCallers = await drive(callers * fold, (calls) => closedLoop(calls, seconds));
      const result = { maximum, half, fivefoldRate, fivefoldCallers };
      measured.push(result);
      for (const [key, label] of models) {
        const { accepted, unavailable, failed, lost, latencies } = result[key];
        bench.log(
          `overload ${round}/${rounds} ${driver.name}, ${label}: p99 ${quantile(latencies, 0.99).toFixed(1)} ms, ` +
            `${accepted} accepted, ${unavailable} unavailable, ${failed} failed, ${lost} lost`,
        );
      }
    }
    return measured;
  } finally {
    await server.stop();
  }
}

function tableOf(driver: Driver, rounds: readonly OverloadRound[]): Table {
  return {
    name: `overload-${driver.name}`,
    title: `Load on ${nameOf(driver)}`,
    header: [
      "",
      "due/s",
      "sent/s",
      "accepted/s",
      "p50 ms",
      "p99 ms",
      "worst p99 ms",
      "turned away",
      "other errors",
      "lost",
    ],
    rows: models.map(([key, label]) => {
      const results = rounds.map((round) => round[key]);
      const middle = (value: (result: LoadResult) => number) => median(results.map(value));
      const sum = (value: (result: LoadResult) => number) =>
        results.reduce((total, result) => total + value(result), 0);
      const p99 = (result: LoadResult) => quantile(result.latencies, 0.99);
      return [
        label,
        count(middle((result) => (sentOf(result) + result.unsent) / result.seconds)),
        count(middle((result) => sentOf(result) / result.seconds)),
        count(middle((result) => result.accepted / result.seconds)),
        middle((result) => quantile(result.latencies, 0.5)).toFixed(2),
        middle(p99).toFixed(2),
        Math.max(...results.map(p99)).toFixed(2),
        percent(sum((result) => result.unavailable) / sum(sentOf)),
        count(sum((result) => result.failed)),
        count(sum((result) => result.lost)),
      ];
    }),
  };
}

function sentOf({ accepted, unavailable, failed, lost }: LoadResult): number {
  return accepted + unavailable + failed + lost;
}
