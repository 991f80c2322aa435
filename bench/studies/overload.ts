/** What callers see at half of the service's maximum rate, and at five times the maximum. */

import { startContender } from "../contender-process.ts";
import { downleaseBounded } from "../contenders.ts";
import type { Driver, DriverCall } from "../drivers/driver.ts";
import { drivers } from "../drivers/drivers.ts";
import { count, percent } from "../formats.ts";
import { closedLoop, type LoadResult, openLoop } from "../load.ts";
import type { OverloadRound } from "../results.ts";
import { median, quantile } from "../statistics.ts";
import type { Bench, Study, Table } from "../study.ts";

const fold = 5;
const overloadDrivers: readonly Driver[] = [drivers.rest, drivers.grpc];

const models: readonly (readonly [keyof OverloadRound, string])[] = [
  ["maximum", "maximum: as fast as it goes"],
  ["half", "half of the maximum, open loop"],
  ["fivefoldRate", "5 × the maximum, open loop"],
  ["fivefoldCallers", "5 × the callers, closed loop"],
];

export const overloadStudy: Study = {
  name: "overload",
  tables: overloadDrivers.map(({ name }) => `overload-${name}`),
  async run(bench) {
    const tables: Table[] = [];
    for (const driver of overloadDrivers) {
      const rounds = await study(driver, bench);
      bench.results.overload.set(driver.name, rounds);
      tables.push(tableOf(driver, rounds));
    }
    return tables;
  },
};

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
    title: `Load on ${driver.name === "rest" ? "REST" : "gRPC"}`,
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
