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
import { type FigureRow, type Figures, spreadOf } from "../figures.ts";
import { count } from "../formats.ts";
import { inRounds } from "../rounds.ts";
import { leaseMs, openRedis, owner } from "../sessions-in-redis.ts";
import { median } from "../statistics.ts";
import type { Bench, Study, StudyResult, Table } from "../study.ts";

const caller = { principal: owner, roles: noRoles };
const callers = 50;
const creators = 200;

const few = 100;
const many = ({ options }: Bench) => (options.isQuick ? 2_000 : 200_000);

const metrics: Figures["metrics"] = {
  insideMicros: { unit: "µs inside Redis", better: "less" },
  rate: { unit: "calls/s", better: "more" },
  micros: { unit: "µs", better: "less" },
  bytes: { unit: "bytes", better: "less", isSteady: true },
};

export const sessionsStudy: Study = {
  name: "sessions",
  description: "memory of an idle session, and a keep-alive among few and many sessions",
  budgetSeconds: 60,
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

/** A store with as many sessions as `ids`. */
interface FilledStore {
  readonly name: string;
  readonly store: SessionStore;
  readonly ids: readonly string[];
}

async function inRedis(bench: Bench): Promise<StudyResult> {
  await using stack = new AsyncDisposableStack();
  const clients = new Map<FilledStore, Redis>();
  let memory: SessionMemory | undefined;
  for (const sessions of [few, many(bench)]) {
    // Not the Redis of the run, because its memory is measured.
    const redis = stack.use(await startRedis());
    const client = stack.adopt(new Redis(redis.url), (open) => open.disconnect());
    const { sessions: store } = stack.use(await openRedis(redis.url));
    const emptyBytes = await usedMemory(client);
    const filled = await fill("Redis", store, sessions, bench);
    clients.set(filled, client);
    memory = await memoryOf(client, filled.ids, emptyBytes);
  }
  const { seconds, rounds } = bench.options;
  const stores = [...clients.keys()];
  const measured = await inRounds(stores, rounds, async (filled) => {
    const client = clients.get(filled)!;
    await client.config("RESETSTAT");
    const rate = 1e6 / (await microsPerKeepAlive(filled, callers, seconds));
    const stats = await client.info("commandstats");
    return { rate, insideMicros: Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(stats)?.[1]) };
  });
  const rows = figureRows(stores, measured);
  const median = (row: string, metric: string) => spreadOf({ metrics, rows }, row, metric).median;
  const costs: Table = {
    name: "sessions-in-redis",
    title: `KeepAlive in Redis, ${callers} callers`,
    header: ["sessions", "inside Redis µs", "calls/s"],
    rows: stores.map(({ name, ids }) => [
      count(ids.length),
      median(name, "insideMicros").toFixed(2),
      count(median(name, "rate")),
    ]),
  };
  const memoryRow = { name: "memory of a session in Redis", rounds: [{ bytes: memory!.total }] };
  return { tables: [memoryTable(memory!), costs], figures: { metrics, rows: [memoryRow, ...rows] } };
}

async function inSqlite(bench: Bench): Promise<StudyResult> {
  using stack = new DisposableStack();
  const stores: FilledStore[] = [];
  for (const sessions of [few, many(bench)]) {
    const path = join(bench.directory, `sessions-${sessions}.db`);
    const database = stack.adopt(new SqliteDatabase(path), (open) => open.close());
    const store = new SqliteSessionStore({ database, terms: { leaseMs, retentionMs: leaseMs } });
    stores.push(await fill("SQLite", store, sessions, bench));
  }
  const { seconds, rounds } = bench.options;
  const measured = await inRounds(stores, rounds, async (filled) => ({
    micros: await microsPerKeepAlive(filled, 1, seconds),
  }));
  const rows = figureRows(stores, measured);
  const table: Table = {
    name: "sessions-in-sqlite",
    title: "KeepAlive in SQLite, one caller after the other",
    header: ["sessions", "µs"],
    rows: stores.map(({ name, ids }) => [
      count(ids.length),
      spreadOf({ metrics, rows }, name, "micros").median.toFixed(1),
    ]),
  };
  return { tables: [table], figures: { metrics, rows } };
}

function figureRows(
  stores: readonly FilledStore[],
  measured: readonly (readonly Readonly<Record<string, number>>[])[],
): FigureRow[] {
  return stores.map(({ name }, index) => ({
    name,
    ...(index > 0 && { peer: stores[0]!.name }),
    rounds: measured[index]!,
  }));
}

async function fill(
  kind: string,
  store: SessionStore,
  sessions: number,
  { log }: Bench,
): Promise<FilledStore> {
  const name = `${kind}, ${count(sessions)} sessions`;
  log(`sessions: creating ${count(sessions)} in ${kind}`);
  const ids = Array.from({ length: sessions }, () => crypto.randomUUID());
  const left = ids.values();
  const work = Array.from({ length: creators }, async () => {
    for (const id of left) {
      await store.create({
        id,
        owner,
        libraryItemId: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        contentVersion: "0123456789abcdef",
      });
    }
  });
  await Promise.all(work);
  return { name, store, ids };
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
    header: [`part of an idle session in Redis, of ${count(sessions)}`, "bytes"],
    rows: [
      ["hash with its key (`MEMORY USAGE`, median)", hash.toFixed(0)],
      ["entry in the owner's index", index.toFixed(0)],
      ["key space and expiry tables (the rest)", (total - index - hash).toFixed(0)],
      ["together (`used_memory`)", total.toFixed(0)],
    ],
  };
}

async function microsPerKeepAlive(
  { store, ids }: FilledStore,
  concurrency: number,
  seconds: number,
): Promise<number> {
  let calls = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (; performance.now() < endsAt; calls++) {
        await store.keepAlive(ids[randomInt(ids.length)]!, caller, 10);
      }
    }),
  );
  return ((performance.now() - startedAt) * 1000) / calls;
}
