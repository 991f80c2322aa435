/** Contenders at one driver, each driven as fast as it goes, in turn: A B A B. */
import { type Bench, rowName, type Study, type Table } from "../bench.ts";
import { type ProbedContender, startProbedContender } from "../contender-process.ts";
import * as contenders from "../contenders.ts";
import { type Credentials, loginSession } from "../credentials.ts";
import type { Driver, Header, Target } from "../drivers/driver.ts";
import { drivers } from "../drivers/drivers.ts";
import { count, range, times } from "../formats.ts";
import { closedLoop, type LoadResult } from "../load.ts";
import { median, quantile, ratio, spread } from "../statistics.ts";

/** What one contender did in one round; everything is per heartbeat. */
export interface Round {
  readonly rate: number;
  readonly cpuMicros: number;
  readonly p50: number;
  readonly p99: number;
  readonly allocatedBytes: number;
  readonly loopDelayP99: number;
  /** CPU of the generator; has to be small beside the contender's. */
  readonly generatorMicros: number;
}

export interface Row {
  readonly driver: Driver;
  readonly contender: contenders.Contender;
  /** When it is not the contender's name. */
  readonly label?: string;
  /** When it is not what the run was asked for. */
  readonly callers?: number;
  /** Of the callers that the run was asked for. */
  readonly callersShare?: number;
  /** What the callers show; the contender has to refuse those who do not. */
  readonly credentials?: Credentials;
}

/** What tells the cost of a second worker: one process with the callers that each of two has. */
export const halfTheCallers = "downlease, half the callers";

interface Group {
  readonly name: string;
  readonly title: string;
  /** Ratios are to the first. */
  readonly rows: readonly Row[];
}

const of = (driver: Driver, ...list: contenders.Contender[]): Row[] =>
  list.map((contender) => ({ driver, contender }));

export const groups: readonly Group[] = [
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
      { driver: drivers.rest, contender: contenders.downleaseOfKnown, credentials: loginSession },
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
        contenders.downleaseOfTwo,
      ),
      { driver: drivers.grpc, contender: contenders.downleaseOfKnown, credentials: loginSession },
      { driver: drivers.grpc, contender: contenders.downlease, label: halfTheCallers, callersShare: 0.5 },
      { driver: drivers.grpcStream, contender: contenders.downlease, label: "downlease, streamed" },
      // As many heartbeats under way as make sense to one process, not as many batches.
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

async function run(group: Group, bench: Bench): Promise<Table[]> {
  const { rounds, seconds, warmUpSeconds } = bench.options;
  const running = new Map<contenders.Contender, ProbedContender>();
  try {
    for (const { contender } of group.rows) {
      if (!running.has(contender)) {
        running.set(contender, await startProbedContender(contender, bench.redis.url, bench.directory));
      }
    }
    const measured = group.rows.map((): Round[] => []);
    // V8 goes on optimising for some seconds.
    for (const row of group.rows) await measure(row, running.get(row.contender)!, warmUpSeconds, bench);
    for (let round = 1; round <= rounds; round++) {
      for (const [index, row] of group.rows.entries()) {
        const result = await measure(row, running.get(row.contender)!, seconds, bench);
        measured[index]!.push(result);
        bench.progress(
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

async function measure(row: Row, server: ProbedContender, seconds: number, bench: Bench): Promise<Round> {
  const { driver, contender } = row;
  const callers = row.callers ?? Math.ceil(bench.options.callers * (row.callersShare ?? 1));
  const target = { port: server.port, sessionIds: bench.sessionIds, callers };
  const headers = row.credentials && (await credentialsOf(row, row.credentials, target));
  const open = await driver.open({ ...target, headers });
  try {
    const before = server.cpuSeconds();
    const generatorBefore = process.cpuUsage();
    const result = await closedLoop(open.beats, seconds);
    const generator = process.cpuUsage(generatorBefore);
    const cpu = server.cpuSeconds() - before;
    const heartbeats = heartbeatsOf(result, row);
    // The probe costs something; what it tells comes from a time of its own.
    let probed = 0;
    const reading = await server.probe(async () => {
      probed = heartbeatsOf(await closedLoop(open.beats, seconds * probedShare), row);
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

/** @throws Error when the contender serves callers without credentials: what is not looked at costs nothing */
async function credentialsOf(
  { driver, contender }: Row,
  credentials: Credentials,
  target: Target,
): Promise<readonly Header[]> {
  const stranger = await driver.open({ ...target, callers: 1 });
  const outcome = await stranger.beats[0]!();
  stranger.close();
  if (outcome !== "failed") throw new Error(`${contender.name} serves callers who do not say who they are`);
  return credentials(target.port);
}

/** @throws Error unless every heartbeat was accepted: what fails fast is no contender */
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

function tableOf(group: Group, measured: readonly (readonly Round[])[]): Table {
  const pick = (rounds: readonly Round[], key: keyof Round) => rounds.map((round) => round[key]);
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
      const middle = (key: keyof Round) => median(pick(rounds, key));
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
