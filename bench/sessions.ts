/** What an idle session costs in memory, and what a keep-alive costs with few and with many sessions. */
import { randomInt } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { pino } from "pino";
import type { SessionStore } from "../src/domain/session-store.ts";
import { ownerIndexKey, sessionKey } from "../src/stores/redis/keys.ts";
import { RedisSessionStore } from "../src/stores/redis/redis-session-store.ts";
import { SqliteSessionStore } from "../src/stores/sqlite/sqlite-session-store.ts";
import { eventually } from "../test/support/eventually.ts";
import { startRedis } from "../test/support/redis-server.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { median, table } from "./statistics.ts";

const terms = { leaseMs: 3_600_000, retentionMs: 3_600_000 };
const caller = { principal: "anonymous", admin: false };
const counts = [100, 100_000, 1_000_000];
const beats = 100_000;
const rounds = 5;

const print = (text: string) => process.stdout.write(`${text}\n`);

await using redis = await startRedis();
const client = new Redis(redis.url);
const store = RedisSessionStore.connect({ url: redis.url, terms, log: pino({ level: "silent" }) });
await eventually("Redis", () => store.ping().then(() => true));

const ids: string[] = [];
const emptyBytes = await usedMemory();
const redisRows: string[][] = [];
for (const count of counts) {
  await createUpTo(store, count);
  if (count === 100_000) print(`${await memoryReport(count)}\n`);
  redisRows.push([count.toLocaleString("en"), ...(await redisCost())]);
}
print("KeepAlive in Redis, 50 callers\n");
print(`${table(["sessions", "Redis µs/call", "calls/s"], redisRows)}\n`);
await store.close();
client.disconnect();

const directory = await tempDir();
const file = join(directory.path, "bench.db");
const sqlite = new SqliteSessionStore({ path: file, terms });
ids.length = 0;
const sqliteRows: string[][] = [];
for (const count of counts) {
  await createUpTo(sqlite, count);
  sqliteRows.push([count.toLocaleString("en"), (await microsPerBeat(sqlite, 1)).toFixed(1)]);
}
print("KeepAlive in SQLite, one caller after the other\n");
print(table(["sessions", "µs/call"], sqliteRows));
await sqlite.close();
rmSync(file, { force: true });
await directory.remove();

async function createUpTo(target: SessionStore, count: number): Promise<void> {
  const missing = Array.from({ length: count - ids.length }, () => crypto.randomUUID());
  for (const id of missing) ids.push(id);
  const creators = Array.from({ length: 200 }, async () => {
    for (let id = missing.pop(); id !== undefined; id = missing.pop()) {
      await target.create({
        id,
        owner: caller.principal,
        libraryItemId: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        contentVersion: "0123456789abcdef",
      });
    }
  });
  await Promise.all(creators);
  process.stderr.write(`${count} sessions\n`);
}

async function usedMemory(): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await client.info("memory"))?.[1]);
}

async function memoryReport(count: number): Promise<string> {
  const total = ((await usedMemory()) - emptyBytes) / count;
  const index = Number(await client.memory("USAGE", ownerIndexKey(caller.principal), "SAMPLES", 0)) / count;
  const sample = await Promise.all(ids.slice(0, 1000).map((id) => client.memory("USAGE", sessionKey(id))));
  const hash = median(sample.map(Number));
  return `Redis memory per idle session, ${count.toLocaleString("en")} sessions of one owner\n\n${table(
    ["part", "bytes"],
    [
      ["hash with its key (MEMORY USAGE, median)", hash.toFixed(0)],
      ["entry in the owner's index", index.toFixed(0)],
      ["key space and expiry tables (the rest)", (total - index - hash).toFixed(0)],
      ["together (used_memory)", total.toFixed(0)],
    ],
  )}`;
}

/** Redis' own time in EVALSHA, and the rate that 50 callers reach. */
async function redisCost(): Promise<string[]> {
  const micros: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await client.config("RESETSTAT");
    rates.push(1e6 / (await microsPerBeat(store, 50)));
    const stats = await client.info("commandstats");
    micros.push(Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(stats)?.[1]));
  }
  return [median(micros).toFixed(2), median(rates).toFixed(0)];
}

async function microsPerBeat(target: SessionStore, callers: number): Promise<number> {
  let left = beats;
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (left-- > 0) await target.keepAlive(ids[randomInt(ids.length)]!, caller, 10);
    }),
  );
  return ((performance.now() - startedAt) * 1000) / beats;
}
