import { parseArgs } from "node:util";
import { pino } from "pino";
import { RedisSessionStore } from "../src/stores/redis/redis-session-store.ts";
import { eventually } from "../test/support/eventually.ts";
import { startRedis } from "../test/support/redis-server.ts";
import {
  type Contender,
  downlease,
  downleaseWithoutCallLog,
  grpcJs,
  nodeHttp,
  type RunningContender,
  startContender,
} from "./contenders.ts";
import { type Door, drive } from "./load.ts";
import { median, quantile, table } from "./statistics.ts";

/** What one contender did in one round. */
interface Round {
  readonly rate: number;
  readonly cpuMicros: number;
  readonly p50: number;
  readonly p99: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    concurrency: { type: "string", default: "200" },
    doors: { type: "string", default: "rest,grpc" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const concurrency = Number(values.concurrency);
const sessionCount = 1000;
const warmUpSeconds = 5;

const duels = [
  { door: "rest" as Door, contenders: [nodeHttp, downlease, downleaseWithoutCallLog] },
  { door: "grpc" as Door, contenders: [grpcJs, downleaseWithoutCallLog, downlease] },
].filter(({ door }) => values.doors.split(",").includes(door));

await using redis = await startRedis();
const sessionIds = await createSessions(redis.url);
const running = new Map<Contender, RunningContender>();
for (const contender of new Set(duels.flatMap(({ contenders }) => contenders)))
  running.set(contender, await startContender(contender, redis.url));

const results = new Map<string, Round[]>();
for (const { door, contenders } of duels) {
  // V8 goes on optimising for some seconds.
  for (const contender of contenders) await measure(door, contender, warmUpSeconds);
  for (let round = 1; round <= rounds; round++) {
    for (const contender of contenders) {
      const key = `${door} ${contender.name}`;
      const measured = await measure(door, contender, seconds);
      results.set(key, [...(results.get(key) ?? []), measured]);
      process.stderr.write(`round ${round}/${rounds} ${key}: ${measured.rate.toFixed(0)}/s\n`);
    }
  }
}
for (const contender of running.values()) await contender.stop();

process.stdout.write(
  `\nKeepAlive on Redis, ${concurrency} callers, ${sessionCount} sessions, medians of ${rounds} interleaved rounds of ${seconds} s\n\n`,
);
for (const { door, contenders } of duels) process.stdout.write(`${report(door, contenders)}\n\n`);

async function createSessions(url: string): Promise<string[]> {
  const terms = { leaseMs: 3_600_000, retentionMs: 3_600_000 };
  const store = RedisSessionStore.connect({ url, terms, log: pino({ level: "silent" }) });
  await eventually("Redis", () => store.ping().then(() => true));
  const ids = Array.from({ length: sessionCount }, () => crypto.randomUUID());
  for (const id of ids) {
    await store.create({
      id,
      owner: "anonymous",
      libraryItemId: "photon",
      contentVersion: "0123456789abcdef",
    });
  }
  await store.close();
  return ids;
}

async function measure(door: Door, contender: Contender, duration: number): Promise<Round> {
  const server = running.get(contender)!;
  const before = server.cpuSeconds();
  const result = await drive(door, { port: server.port, sessionIds, concurrency, seconds: duration });
  const cpu = server.cpuSeconds() - before;
  if (result.failures > 0)
    throw new Error(`${contender.name} refused ${result.failures} of ${result.requests} heartbeats`);
  return {
    rate: result.requests / result.seconds,
    cpuMicros: (cpu * 1e6) / result.requests,
    p50: quantile(result.latencies, 0.5),
    p99: quantile(result.latencies, 0.99),
  };
}

function report(door: Door, contenders: readonly Contender[]): string {
  const rowsOf = (contender: Contender) => results.get(`${door} ${contender.name}`)!;
  const of = (contender: Contender, pick: (round: Round) => number) => median(rowsOf(contender).map(pick));
  const [peer] = contenders;
  const rows = contenders.map((contender) => {
    const rates = rowsOf(contender).map(({ rate }) => rate);
    return [
      contender.name,
      of(contender, ({ rate }) => rate).toFixed(0),
      `${Math.min(...rates).toFixed(0)}–${Math.max(...rates).toFixed(0)}`,
      of(contender, ({ cpuMicros }) => cpuMicros).toFixed(1),
      of(contender, ({ p50 }) => p50).toFixed(2),
      of(contender, ({ p99 }) => p99).toFixed(2),
      (of(contender, ({ rate }) => rate) / of(peer!, ({ rate }) => rate)).toFixed(2),
      (of(contender, ({ cpuMicros }) => cpuMicros) / of(peer!, ({ cpuMicros }) => cpuMicros)).toFixed(2),
    ];
  });
  const header = [
    "",
    "calls/s",
    "spread",
    "server CPU µs/call",
    "p50 ms",
    "p99 ms",
    "rate ratio",
    "CPU ratio",
  ];
  return `${door === "rest" ? "REST, HTTP/1.1" : "gRPC, h2c"}\n\n${table(header, rows)}`;
}
