/** What callers see at half of the service's maximum rate, and at five times the maximum. */

import { type RunningContender, startContender } from "../contender-process.ts";
import { type Contender, downleaseBounded, nodeHttp, nodeHttp2 } from "../contenders.ts";
import type { Driver, DriverCall } from "../drivers/driver.ts";
import { drivers } from "../drivers/drivers.ts";
import { type FigureRow, type Figures, valuesOf } from "../figures.ts";
import { count, percent } from "../formats.ts";
import { type Goal, ratioGoal, valueGoal } from "../goals.ts";
import { closedLoop, type LoadResult, openLoop } from "../load.ts";
import { orderOf } from "../rounds.ts";
import { median, quantile } from "../statistics.ts";
import type { Bench, BenchOptions, Study, Table } from "../study.ts";

const fold = 5;
/** The latency at half of the maximum is compared with the peer's at the same rate. */
const sides: readonly Side[] = [
  { driver: drivers.rest, name: "REST", peer: nodeHttp },
  { driver: drivers.grpc, name: "gRPC", peer: nodeHttp2 },
];

interface Side {
  readonly driver: Driver;
  readonly name: string;
  readonly peer: Contender;
}

interface OverloadRound {
  /** A closed loop with the usual number of callers; its rate is the maximum that the other fields refer to. */
  readonly maximum: LoadResult;
  /** An open loop at half of the maximum. */
  readonly half: LoadResult;
  /** The same load on the peer. */
  readonly halfOnPeer: LoadResult;
  /** An open loop at five times the maximum and with five times the callers: more than the service admits at a time. */
  readonly fivefoldRate: LoadResult;
  /** A closed loop with five times the callers, who call again at once when they are turned away. */
  readonly fivefoldCallers: LoadResult;
}

type Model = keyof OverloadRound;

const labels: Readonly<Record<Model, (side: Side) => string>> = {
  maximum: () => "maximum: as fast as it goes",
  half: () => "half of the maximum, open loop",
  halfOnPeer: ({ peer }) => `the same load on ${peer.name}`,
  fivefoldRate: () => "5 × the maximum, open loop",
  fivefoldCallers: () => "5 × the callers, closed loop",
};
const models = Object.keys(labels) as Model[];

const metrics: Figures["metrics"] = {
  acceptedRate: { unit: "calls/s", better: "more" },
  p50: { unit: "ms", better: "less" },
  p99: { unit: "ms", better: "less" },
  unavailable: { unit: "calls", better: "neither" },
  failed: { unit: "calls", better: "less", isSteady: true },
  lost: { unit: "calls", better: "less", isSteady: true },
};

export const overloadStudy: Study = {
  name: "overload",
  description: "latency at half of the maximum rate beside bare servers, and at five times the maximum",
  budgetSeconds: 70,
  tables: sides.map(({ driver }) => `overload-${driver.name}`),
  goals: sides.flatMap(goalsOf),
  async run(bench) {
    const tables: Table[] = [];
    const rows: FigureRow[] = [];
    for (const side of sides) {
      const rounds = await study(side, bench);
      rows.push(...figureRows(side, rounds));
      tables.push(tableOf(side, rounds));
    }
    return { tables, figures: { metrics, rows } };
  },
};

function figureRows(side: Side, rounds: readonly OverloadRound[]): FigureRow[] {
  return models.map((model) => ({
    name: rowName(side, model),
    ...(model === "half" && { peer: rowName(side, "halfOnPeer") }),
    ...(model === "halfOnPeer" && { isPeer: true }),
    rounds: rounds.map((round) => figuresOf(round[model])),
  }));
}

function figuresOf({ accepted, seconds, unavailable, failed, lost, latencies }: LoadResult) {
  const [p50, p99] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
  return { acceptedRate: accepted / seconds, p50, p99, unavailable, failed, lost };
}

function rowName(side: Side, model: Model): string {
  return `${side.name}, ${labels[model](side)}`;
}

function goalsOf(side: Side): Goal[] {
  const p99 = (what: string, target: string, ...keys: Model[]) =>
    valueGoal({
      what: `${side.name}: p99 ${what}`,
      target,
      metric: "p99",
      rows: keys.map((key) => rowName(side, key)),
    });
  return [
    p99("at half of the maximum", "≤ 5 ms", "half"),
    ratioGoal({
      what: `${side.name}: p99 at half of the maximum against ${side.peer.name} at the same rate`,
      target: "≤ 1.5",
      metric: "p99",
      row: rowName(side, "half"),
      against: rowName(side, "halfOnPeer"),
    }),
    p99("of accepted calls, five-fold overload", "< 50 ms", "fivefoldRate", "fivefoldCallers"),
    answeredGoal(side),
  ];
}

function answeredGoal(side: Side): Goal {
  return {
    what: `${side.name}: five-fold overload, calls neither accepted nor turned away as unavailable`,
    target: "= 0",
    measure(figures) {
      const sum = (metric: string) =>
        (["fivefoldRate", "fivefoldCallers"] as const)
          .flatMap((key) => valuesOf(figures, rowName(side, key), metric))
          .reduce((total, value) => total + value, 0);
      const [failed, lost] = [sum("failed"), sum("lost")];
      const total = failed + lost;
      const text = `${failed} errors, ${lost} lost (${count(sum("unavailable"))} turned away)`;
      return { median: total, min: total, max: total, text };
    },
  };
}

type Drive = (
  server: RunningContender,
  callers: number,
  load: (calls: readonly DriverCall[]) => Promise<LoadResult>,
) => Promise<LoadResult>;

async function study({ driver, name, peer }: Side, bench: Bench): Promise<OverloadRound[]> {
  const { rounds, callers, warmUpSeconds } = bench.options;
  const drive: Drive = async ({ port }, count, load) => {
    const open = await driver.open({ port, sessionIds: bench.sessionIds, callers: count });
    try {
      return await load(open.calls);
    } finally {
      open.close();
    }
  };
  const servers: RunningContender[] = [];
  try {
    for (const contender of [downleaseBounded, peer]) {
      const server = await startContender(contender, bench.redis.url);
      servers.push(server);
      await drive(server, callers, (calls) => closedLoop(calls, warmUpSeconds));
    }
    const measured: OverloadRound[] = [];
    for (let round = 1; round <= rounds; round++) {
      const result = await measure(servers[0]!, servers[1]!, round, drive, bench.options);
      measured.push(result);
      for (const model of models) {
        const { accepted, unavailable, failed, lost, latencies } = result[model];
        bench.log(
          `overload ${round}/${rounds} ${name}, ${labels[model]({ driver, name, peer })}: ` +
            `p99 ${quantile(latencies, 0.99).toFixed(1)} ms, ` +
            `${accepted} accepted, ${unavailable} unavailable, ${failed} failed, ${lost} lost`,
        );
      }
    }
    return measured;
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function measure(
  server: RunningContender,
  peer: RunningContender,
  round: number,
  drive: Drive,
  { callers, seconds }: BenchOptions,
): Promise<OverloadRound> {
  const maximum = await drive(server, callers, (calls) => closedLoop(calls, seconds));
  const rate = maximum.accepted / maximum.seconds;
  const halves: LoadResult[] = [];
  for (const index of orderOf(2, round)) {
    halves[index] = await drive([server, peer][index]!, callers, (calls) =>
      openLoop(calls, { rate: rate / 2, seconds, whenBusy: "wait" }),
    );
  }
  const fivefoldRate = await drive(server, callers * fold, (calls) =>
    openLoop(calls, { rate: rate * fold, seconds, whenBusy: "drop" }),
  );
  const fivefoldCallers = await drive(server, callers * fold, (calls) => closedLoop(calls, seconds));
  return { maximum, half: halves[0]!, halfOnPeer: halves[1]!, fivefoldRate, fivefoldCallers };
}

function tableOf(side: Side, rounds: readonly OverloadRound[]): Table {
  return {
    name: `overload-${side.driver.name}`,
    title: `Load on ${side.name}`,
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
    rows: models.map((model) => {
      const results = rounds.map((round) => round[model]);
      const middle = (value: (result: LoadResult) => number) => median(results.map(value));
      const sum = (value: (result: LoadResult) => number) =>
        results.reduce((total, result) => total + value(result), 0);
      const p99 = (result: LoadResult) => quantile(result.latencies, 0.99);
      return [
        labels[model](side),
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
