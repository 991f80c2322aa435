/**
 * What `--redis-wait-replicas` costs: creates, cancels and keep-alives with 0, 1 and 2 replicas to wait for, on a Redis with
 * two replicas on loopback, and with a millisecond each way between them and their master.
 * `node bench/replicas.ts [rounds]`
 */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { pino } from "pino";
import { noRoles } from "../src/domain/roles.ts";
import type { SessionStore } from "../src/domain/session-store.ts";
import { RedisBackend } from "../src/stores/redis/backend.ts";
import { eventually } from "../test/support/eventually.ts";
import { startRedis } from "../test/support/redis-server.ts";
import { startTcpProxy } from "../test/support/tcp-proxy.ts";
import { median, quantile, table } from "./statistics.ts";

const rounds = Number(process.argv[2] ?? 6);
const replicaCounts = [0, 1, 2] as const;
const callerCounts = [1, 64] as const;
const callsOf = (callers: number) => (callers === 1 ? 500 : 4_000);
const leaseMs = 3_600_000;
const owner = "anonymous";
const caller = { principal: owner, roles: noRoles };

type Call = (sessions: SessionStore, id: string) => Promise<unknown>;

const calls: Record<string, Call> = {
  create: (sessions, id) =>
    sessions.create({ id, owner, libraryItemId: "photon", contentVersion: "0123456789abcdef" }),
  "keep-alive": (sessions, id) => sessions.keepAlive(id, caller, 50),
  cancel: (sessions, id) => sessions.finish(id, caller, "CANCELED"),
};

const print = (text: string) => process.stdout.write(`${text}\n`);

await using master = await startRedis({ args: ["--repl-diskless-sync-delay", "0"] });
await using network = await startTcpProxy(master.port);
const args = ["--replicaof", "127.0.0.1", String(network.port)];
await using _one = await startRedis({ args });
await using _other = await startRedis({ args });
const admin = new Redis(master.url);
await eventually(
  "two replicas",
  async () => (await admin.info("replication")).match(/state=online/g)?.length === 2,
  { withinMs: 10_000 },
);
admin.disconnect();

const backends = await Promise.all(replicaCounts.map(open));
for (const delayMs of [0, 1]) {
  network.delayMs = delayMs;
  for (const callers of callerCounts) {
    print(`\n${callers} ${callers === 1 ? "caller" : "callers"}, ${delayMs} ms each way to the replicas\n`);
    print(await costs(callers));
  }
}
for (const backend of backends) await backend[Symbol.asyncDispose]();

async function open(waitReplicas: number): Promise<RedisBackend> {
  const backend = new RedisBackend(master.url, {
    leaseTerms: { leaseMs, retentionMs: 60_000 },
    loginTerms: { idleMs: leaseMs, lifetimeMs: leaseMs },
    waitReplicas,
    log: pino({ level: "silent" }),
  });
  await eventually("Redis", () => backend.probe().then(() => true));
  return backend;
}

interface Cost {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rate: number;
}

/** Measures every number of replicas once a round, after a warm-up round, in turn. */
async function costs(callers: number): Promise<string> {
  const measured = new Map<string, Cost[]>();
  for (let round = 0; round <= rounds; round++) {
    for (const turn of replicaCounts.keys()) {
      // Each is the first as often as the others.
      const index = (round + turn) % replicaCounts.length;
      const replicas = replicaCounts[index]!;
      const { sessions } = backends[index]!;
      const ids = Array.from({ length: callsOf(callers) }, () => randomUUID());
      for (const [name, call] of Object.entries(calls)) {
        const cost = await measure(callers, ids, (id) => call(sessions, id));
        const key = `${name} ${replicas}`;
        if (round > 0) measured.set(key, [...(measured.get(key) ?? []), cost]);
      }
    }
  }
  const of = (key: string, value: (cost: Cost) => number) => median(measured.get(key)!.map(value));
  const rows = Object.keys(calls).flatMap((name) =>
    replicaCounts.map((replicas) => {
      const key = `${name} ${replicas}`;
      const rate = of(key, (cost) => cost.rate);
      const times = [of(key, (cost) => cost.p50Ms), of(key, (cost) => cost.p99Ms)];
      const ratio = rate / of(`${name} 0`, (cost) => cost.rate);
      return [name, String(replicas), ...times.map((ms) => ms.toFixed(2)), rate.toFixed(0), ratio.toFixed(2)];
    }),
  );
  return table(["call", "replicas to wait for", "p50 ms", "p99 ms", "calls/s", "ratio of rates"], rows);
}

/** In a closed loop. */
async function measure(
  callers: number,
  ids: readonly string[],
  call: (id: string) => Promise<unknown>,
): Promise<Cost> {
  const left = ids.values();
  const times: number[] = [];
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (const id of left) {
        const calledAt = performance.now();
        await call(id);
        times.push(performance.now() - calledAt);
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const sorted = Float64Array.from(times).sort();
  return { p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99), rate: ids.length / seconds };
}
