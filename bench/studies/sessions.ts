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
import { count } from "../formats.ts";
import { leaseMs, openRedis, owner } from "../sessions-in-redis.ts";
import { median } from "../statistics.ts";
import type { Bench, Study, Table } from "../study.ts";

const caller = { principal: owner, roles: noRoles };
const callers = 50;
const keepAliveCount = 100_000;
const creators = 200;

export const sessionsStudy: Study = {
  name: "sessions",
  tables: ["session-memory", "sessions-in-redis", "sessions-in-sqlite"],
  async run(bench) {
    return [...(await inRedis(bench)), await inSqlite(bench)];
  },
};

async function inRedis({ options, log }: Bench): Promise<Table[]> {
  // A separate Redis, because its memory is measured.
  await using redis = await startRedis();
  const client = new Redis(redis.url);
  await using backend = await openRedis(redis.url);
  const store = backend.sessions;
  const ids: string[] = [];
  const emptyBytes = await usedMemory(client);
  const memoryAt = options.sessionCounts[1]!;
  let memory: Table | undefined;
  const rows: string[][] = [];
  for (const sessions of options.sessionCounts) {
    log(`sessions: ${count(sessions)} in Redis`);
    await createUpTo(store, ids, sessions);
    if (sessions === memoryAt) memory = await memoryTable(client, ids, emptyBytes);
    rows.push([count(sessions), ...(await redisCost(client, store, ids, options.rounds))]);
  }
  client.disconnect();
  return [
    memory!,
    {
      name: "sessions-in-redis",
      title: `KeepAlive in Redis, ${callers} callers`,
      header: ["sessions", "inside Redis µs", "calls/s"],
      rows,
    },
  ];
}

async function inSqlite({ options, log }: Bench): Promise<Table> {
  await using directory = await tempDir();
  const database = new SqliteDatabase(join(directory.path, "bench.db"));
  const store = new SqliteSessionStore({ database, terms: { leaseMs, retentionMs: leaseMs } });
  const ids: string[] = [];
  const rows: string[][] = [];
  for (const sessions of options.sessionCounts) {
    log(`sessions: ${count(sessions)} in SQLite`);
    await createUpTo(store, ids, sessions);
    rows.push([count(sessions), (await microsPerKeepAlive(store, ids, 1)).toFixed(1)]);
  }
  database.close();
  return {
    name: "sessions-in-sqlite",
    title: "KeepAlive in SQLite, one caller after the other",
    header: ["sessions", "µs"],
    rows,
  };
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

async function memoryTable(client: Redis, ids: readonly string[], emptyBytes: number): Promise<Table> {
  const total = ((await usedMemory(client)) - emptyBytes) / ids.length;
  const index = Number(await client.memory("USAGE", ownerIndexKey(owner), "SAMPLES", 0)) / ids.length;
  const sample = await Promise.all(ids.slice(0, 1000).map((id) => client.memory("USAGE", sessionKey(id))));
  const hash = median(sample.map(Number));
  return {
    name: "session-memory",
    title: `Redis memory per idle session, ${count(ids.length)} sessions of one owner`,
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
): Promise<string[]> {
  const micros: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await client.config("RESETSTAT");
    rates.push(1e6 / (await microsPerKeepAlive(store, ids, callers)));
    const stats = await client.info("commandstats");
    micros.push(Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(stats)?.[1]));
  }
  return [median(micros).toFixed(2), count(median(rates))];
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
