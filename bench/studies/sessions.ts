/** Memory of an idle session, and cost of a keep-alive with few and with many sessions. */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { Redis } from "ioredis";
import { noRoles } from "../../src/domain/roles.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import { ownerIndexKey, sessionKey } from "../../src/stores/redis/keys.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { startRedis } from "../../test/support/redis-server.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import type { FigureRow, Figures, Round } from "../figures.ts";
import { count } from "../formats.ts";
import { leaseMs, openRedis, owner } from "../sessions-in-redis.ts";
import { median } from "../statistics.ts";
import type { Bench, Study, StudyResult, Table } from "../study.ts";

const caller = { principal: owner, roles: noRoles };
const callers = 50;
const keepAliveCount = 100_000;
const creators = 200;

const sessionCounts = [100, 100_000, 1_000_000];
const quickCounts = [100, 10_000];
const countsOf = ({ options }: Bench) => (options.isQuick ? quickCounts : sessionCounts);

const metrics: Figures["metrics"] = {
  insideMicros: { unit: "µs inside Redis", better: "less" },
  rate: { unit: "calls/s", better: "more" },
  micros: { unit: "µs", better: "less" },
  bytes: { unit: "bytes", better: "less" },
};

export const sessionsStudy: Study = {
  name: "sessions",
  description: "memory of an idle session, and a keep-alive among up to a million sessions",
  budgetSeconds: 120,
  tables: ["session-memory", "sessions-in-redis", "sessions-in-sqlite"],
  goals: [],
  async run(bench) {
    const redis = await inRedis(bench);
    const sqlite = await inSqlite(bench);
    return {
      tables: [...redis.tables, ...sqlite.tables],
      figures: { metrics, rows: [...redis.figures.rows, ...sqlite.figures.rows] },
    };
  },
};

async function inRedis(bench: Bench): Promise<StudyResult> {
  const { options, log } = bench;
  // A separate Redis, because its memory is measured.
  await using redis = await startRedis();
  const client = new Redis(redis.url);
  await using backend = await openRedis(redis.url);
  const store = backend.sessions;
  const ids: string[] = [];
  const emptyBytes = await usedMemory(client);
  const counts = countsOf(bench);
  let memory: SessionMemory | undefined;
  const rows: FigureRow[] = [];
  for (const sessions of counts) {
    log(`sessions: ${count(sessions)} in Redis`);
    await createUpTo(store, ids, sessions);
    if (sessions === counts[1]) memory = await memoryOf(client, ids, emptyBytes);
    rows.push({
      name: `Redis, ${count(sessions)} sessions`,
      rounds: await redisCost(client, store, ids, options.rounds),
    });
  }
  client.disconnect();
  const costs: Table = {
    name: "sessions-in-redis",
    title: `KeepAlive in Redis, ${callers} callers`,
    header: ["sessions", "inside Redis µs", "calls/s"],
    rows: rows.map(({ rounds }, index) => [
      count(counts[index]!),
      median(rounds.map(({ insideMicros }) => insideMicros!)).toFixed(2),
      count(median(rounds.map(({ rate }) => rate!))),
    ]),
  };
  const memoryRow = { name: "memory of a session in Redis", rounds: [{ bytes: memory!.total }] };
  return { tables: [memoryTable(memory!), costs], figures: { metrics, rows: [memoryRow, ...rows] } };
}

async function inSqlite(bench: Bench): Promise<StudyResult> {
  await using directory = await tempDir();
  const database = new SqliteDatabase(join(directory.path, "bench.db"));
  const store = new SqliteSessionStore({ database, terms: { leaseMs, retentionMs: leaseMs } });
  const ids: string[] = [];
  const counts = countsOf(bench);
  const rows: FigureRow[] = [];
  for (const sessions of counts) {
    bench.log(`sessions: ${count(sessions)} in SQLite`);
    await createUpTo(store, ids, sessions);
    rows.push({
      name: `SQLite, ${count(sessions)} sessions`,
      rounds: [{ micros: await microsPerKeepAlive(store, ids, 1) }],
    });
  }
  database.close();
  const table: Table = {
    name: "sessions-in-sqlite",
    title: "KeepAlive in SQLite, one caller after the other",
    header: ["sessions", "µs"],
    rows: rows.map(({ rounds }, index) => [
      count(counts[index]!),
      median(rounds.map(({ micros }) => micros!)).toFixed(1),
    ]),
  };
  return { tables: [table], figures: { metrics, rows } };
}

async function createUpTo(store: SessionStore, ids: string[], sessions: number): Promise<void> {
  const missing = Array.from({ length: sessions - ids.length }, () => crypto.randomUUID());
  for (const id of missing) ids.push(id);
  const work = Array.from({ length: creators }, async () => {
    for (let id = missing.pop(); id !== undefined; id = missing.pop()) {
      await store.create({
        id,
        owner,
        libraryItemId: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        contentVersion: "0123456789abcdef",
      });
    }
  });
  await Promise.all(work);
}

async function usedMemory(client: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await client.info("memory"))?.[1]);
}

/** Bytes of an idle session in Redis. */
interface SessionMemory {
  readonly sessions: number;
  readonly hash: number;
  readonly index: number;
  readonly total: number;
}

async function memoryOf(client: Redis, ids: readonly string[], emptyBytes: number): Promise<SessionMemory> {
  const total = ((await usedMemory(client)) - emptyBytes) / ids.length;
  const index = Number(await client.memory("USAGE", ownerIndexKey(owner), "SAMPLES", 0)) / ids.length;
  const sample = await Promise.all(ids.slice(0, 1000).map((id) => client.memory("USAGE", sessionKey(id))));
  return { sessions: ids.length, hash: median(sample.map(Number)), index, total };
}

function memoryTable({ sessions, hash, index, total }: SessionMemory): Table {
  return {
    name: "session-memory",
    title: `Redis memory per idle session, ${count(sessions)} sessions of one owner`,
    header: ["part of an idle session in Redis", "bytes"],
    rows: [
      ["hash with its key (`MEMORY USAGE`, median)", hash.toFixed(0)],
      ["entry in the owner's index", index.toFixed(0)],
      ["key space and expiry tables (the rest)", (total - index - hash).toFixed(0)],
      ["together (`used_memory`)", total.toFixed(0)],
    ],
  };
}

/** Time of EVALSHA inside Redis, and the rate that the callers reach. */
async function redisCost(
  client: Redis,
  store: SessionStore,
  ids: readonly string[],
  rounds: number,
): Promise<Round[]> {
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    await client.config("RESETSTAT");
    const rate = 1e6 / (await microsPerKeepAlive(store, ids, callers));
    const stats = await client.info("commandstats");
    measured.push({
      rate,
      insideMicros: Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(stats)?.[1]),
    });
  }
  return measured;
}

async function microsPerKeepAlive(
  store: SessionStore,
  ids: readonly string[],
  concurrency: number,
): Promise<number> {
  let left = keepAliveCount;
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (left-- > 0) await store.keepAlive(ids[randomInt(ids.length)]!, caller, 10);
    }),
  );
  return ((performance.now() - startedAt) * 1000) / keepAliveCount;
}
