/** Contenders of one driver at maximum rate, each in turn: A B A B. */

import { type ProbedContender, startProbedContender } from "../contender-process.ts";
import * as contenders from "../contenders.ts";
import { loginSession, type ObtainHeaders } from "../credentials.ts";
import type { Driver, Header, Target } from "../drivers/driver.ts";
import { drivers } from "../drivers/drivers.ts";
import { count, range, times } from "../formats.ts";
import { closedLoop, type LoadResult } from "../load.ts";
import { rowName, type ThroughputRound } from "../results.ts";
import { median, quantile, ratio, spread } from "../statistics.ts";
import type { Bench, Study, Table } from "../study.ts";

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
}

/** Reference for the cost of a second worker: one process with the callers that each of two has. */
export const halfTheCallers = "downlease, half the callers";

interface ThroughputGroup {
  readonly name: string;
  readonly title: string;
  /** Ratios are to the first. */
  readonly rows: readonly Row[];
}

const of = (driver: Driver, ...list: contenders.Contender[]): Row[] =>
  list.map((contender) => ({ driver, contender }));

export const groups: readonly ThroughputGroup[] = [
  {
    name: "rest",
    title: "REST: JSON over HTTP/1.1",
    rows: [
      ...of(
        drivers.rest,
        contenders.nodeHttp,
        contenders.nodeHttpOurRedis,
        contenders.fastify,
        contenders.downlease,
      ),
      { driver: drivers.rest, contender: contenders.downleaseWithLogin, credentials: loginSession },
    ],
  },
  {
    name: "connect-json",
    title: "Connect: JSON over HTTP/1.1",
    rows: of(drivers.connectJson, contenders.connectHttp1, contenders.downlease),
  },
  {
    name: "connect-proto",
    title: "Connect: protobuf over HTTP/1.1",
    rows: of(drivers.connectProto, contenders.connectHttp1, contenders.downlease),
  },
  {
    name: "grpc",
    title: "gRPC",
    rows: [
      ...of(
        drivers.grpc,
        contenders.nodeHttp2,
        contenders.nodeHttp2OurRedis,
        contenders.grpcJs,
        contenders.connectHttp2,
        contenders.downlease,
        contenders.downleaseWithTwoWorkers,
      ),
      { driver: drivers.grpc, contender: contenders.downleaseWithLogin, credentials: loginSession },
      { driver: drivers.grpc, contender: contenders.downlease, label: halfTheCallers, callersShare: 0.5 },
      { driver: drivers.grpcStream, contender: contenders.downlease, label: "downlease, streamed" },
      // Few callers: each batch holds many heartbeats.
      {
        driver: drivers.grpcBatch,
        contender: contenders.downlease,
        label: "downlease, batches of 100",
        callers: 8,
      },
    ],
  },
];

export const throughputStudies: readonly Study[] = groups.map((group) => ({
  name: group.name,
  tables: [group.name],
  run: (bench) => run(group, bench),
}));

const probedShare = 1 / 4;

async function run(group: ThroughputGroup, bench: Bench): Promise<Table[]> {
  const { rounds, seconds, warmUpSeconds } = bench.options;
  const running = new Map<contenders.Contender, ProbedContender>();
  try {
    for (const { contender } of group.rows) {
      if (!running.has(contender)) {
        running.set(contender, await startProbedContender(contender, bench.redis.url, bench.directory));
      }
    }
    const measured = group.rows.map((): ThroughputRound[] => []);
    // V8 goes on optimising for some seconds.
    for (const row of group.rows) await measure(row, running.get(row.contender)!, warmUpSeconds, bench);
    for (let round = 1; round <= rounds; round++) {
      for (const [index, row] of group.rows.entries()) {
        const result = await measure(row, running.get(row.contender)!, seconds, bench);
        measured[index]!.push(result);
        bench.log(
          `${group.name} ${round}/${rounds} ${labelOf(row)}: ${count(result.rate)}/s, ` +
            `${result.cpuMicros.toFixed(1)} µs, generator ${result.generatorMicros.toFixed(1)} µs`,
        );
      }
    }
    for (const [index, row] of group.rows.entries()) {
      bench.results.throughput.set(rowName(row.driver.name, labelOf(row)), measured[index]!);
    }
    return [tableOf(group, measured)];
  } finally {
    for (const contender of running.values()) await contender.stop();
  }
}

async function measure(
  row: Row,
  server: ProbedContender,
  seconds: number,
  bench: Bench,
): Promise<ThroughputRound> {
  const { driver, contender } = row;
  const callers = row.callers ?? Math.ceil(bench.options.callers * (row.callersShare ?? 1));
  const target = { port: server.port, sessionIds: bench.sessionIds, callers };
  const headers = row.credentials && (await credentialsOf(row, row.credentials, target));
  const open = await driver.open({ ...target, headers });
  try {
    const before = server.cpuSeconds();
    const generatorBefore = process.cpuUsage();
    const result = await closedLoop(open.calls, seconds);
    const generator = process.cpuUsage(generatorBefore);
    const cpu = server.cpuSeconds() - before;
    const heartbeats = heartbeatsOf(result, row);
    // The probe costs CPU time, so it measures in a separate phase.
    let probed = 0;
    const reading = await server.probe(async () => {
      probed = heartbeatsOf(await closedLoop(open.calls, seconds * probedShare), row);
    });
    return {
      rate: heartbeats / result.seconds,
      cpuMicros: (cpu * 1e6) / heartbeats,
      p50: quantile(result.latencies, 0.5),
      p99: quantile(result.latencies, 0.99),
      allocatedBytes: reading.allocatedBytes / probed,
      loopDelayP99: reading.loopDelayP99Ms,
      generatorMicros: (generator.user + generator.system) / heartbeats,
    };
  } catch (error) {
    throw new Error(`${contender.name} failed at the driver ${driver.name}`, { cause: error });
  } finally {
    open.close();
  }
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

function tableOf(group: ThroughputGroup, measured: readonly (readonly ThroughputRound[])[]): Table {
  const pick = (rounds: readonly ThroughputRound[], key: keyof ThroughputRound) =>
    rounds.map((round) => round[key]);
  const reference = measured[0]!;
  return {
    name: group.name,
    title: group.title,
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
    rows: group.rows.map((row, index) => {
      const rounds = measured[index]!;
      const middle = (key: keyof ThroughputRound) => median(pick(rounds, key));
      return [
        labelOf(row),
        count(middle("rate")),
        range(spread(pick(rounds, "rate"))),
        middle("cpuMicros").toFixed(1),
        middle("p50").toFixed(2),
        middle("p99").toFixed(2),
        count(middle("allocatedBytes")),
        middle("loopDelayP99").toFixed(1),
        times(ratio(pick(rounds, "rate"), pick(reference, "rate"))),
        times(ratio(pick(rounds, "cpuMicros"), pick(reference, "cpuMicros"))),
      ];
    }),
  };
}
