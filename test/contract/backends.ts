import { join } from "node:path";
import { Redis } from "ioredis";
import type { Backend } from "../../src/domain/backend.ts";
import type { LeaseCounts } from "../../src/domain/lease-counts.ts";
import type { LoginTerms } from "../../src/domain/login-store.ts";
import type { LeaseTerms } from "../../src/domain/session.ts";
import { ownerIndexKey, sessionKey } from "../../src/stores/redis/keys.ts";
import { SqliteBackend } from "../../src/stores/sqlite/backend.ts";
import type { Clocks } from "../../src/stores/sqlite/clock.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { connectRedis, redisTime } from "../support/redis-backend.ts";
import { startRedis } from "../support/redis-server.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { clocksAt } from "../support/sqlite-backend.ts";
import { tempDir } from "../support/temp-dir.ts";

/** A kind of backend as the contract suites use it. */
export interface TestBackend {
  readonly name: string;
  /** Opens two instances on the same data, as two replicas do. */
  open(terms: Terms, otherTerms: Terms): Promise<TwoInstances>;
  /** Opens two instances on data that no other test uses; without it `open` does. */
  openAlone?(terms: Terms, otherTerms: Terms): Promise<TwoInstances>;
  /** Why what one instance ends is not announced to the other; the cases that need it are skipped. */
  readonly noSharedEnds?: string;
}

export interface Terms {
  readonly leaseCounts?: LeaseCounts;
  readonly leaseTerms: LeaseTerms;
  readonly loginTerms: LoginTerms;
}

export interface TwoInstances {
  readonly one: Backend;
  readonly other: Backend;
  /** Milliseconds since the epoch by the clock that decides about leases. */
  now(): Promise<number>;
  /** From now on time passes only when the test says so. */
  stopTime(): Promise<StoppedTime>;
  /** May be called more than once. */
  close(): Promise<void>;
}

/** What a random history needs, which takes hours by its own time. */
export interface StoppedTime {
  /** @param owners of the sessions */
  pass(ms: number, sessionIds: readonly string[], owners: readonly string[]): Promise<void>;
  /** Milliseconds between the stop and a time that the backend has answered with. */
  sinceStop(time: number): number;
  /** Removes these sessions, if tests share their place. */
  forget?(sessionIds: readonly string[]): Promise<void>;
}

/** Every contract suite runs over each of them. */
export const backends: readonly TestBackend[] = [
  sqliteBackend({
    name: "SQLite file",
    async place(clocks) {
      const dir = await tempDir();
      const open = () => new SqliteDatabase(join(dir.path, "downlease.db"), { clocks });
      return { databases: [open(), open()], remove: () => dir.remove() };
    },
    noSharedEnds: "processes that share a file announce nothing to each other, and `isReliable` says so",
  }),
  sqliteBackend({
    name: "SQLite in memory",
    async place(clocks) {
      const database = new SqliteDatabase(":memory:", { clocks });
      return { databases: [database, database], remove: async () => {} };
    },
  }),
  {
    ...redisBackend("Redis", () => ({ url: sharedRedisUrl(), nodeUrl: sharedRedisUrl() })),
    async openAlone(...terms) {
      const { url, stop } = await startRedis();
      const instances = await redisBackend("Redis", () => ({ url, nodeUrl: url })).open(...terms);
      return { ...instances, close: () => instances.close().then(stop) };
    },
  },
];

interface SqlitePlace {
  readonly databases: readonly [SqliteDatabase, SqliteDatabase];
  remove(): Promise<void>;
}

function sqliteBackend({
  place,
  ...backend
}: Omit<TestBackend, "open"> & { place(clocks: Clocks): Promise<SqlitePlace> }): TestBackend {
  return {
    ...backend,
    async open(terms, otherTerms) {
      const clock = stoppableClock();
      const { databases, remove } = await place(clocksAt(clock.now));
      const one = new SqliteBackend(databases[0], terms);
      const other = new SqliteBackend(databases[1], otherTerms);
      return {
        one,
        other,
        ...clock.time,
        async close() {
          await one[Symbol.asyncDispose]();
          await other[Symbol.asyncDispose]();
          await remove();
        },
      };
    },
  };
}

/** The clock of a backend in this process, which a test can stop. */
function stoppableClock() {
  let stoppedAt: number | undefined;
  const now = () => stoppedAt ?? Date.now();
  const time: Pick<TwoInstances, "now" | "stopTime"> = {
    now: async () => now(),
    async stopTime() {
      const start = now();
      stoppedAt = start;
      return {
        async pass(ms) {
          stoppedAt = now() + ms;
        },
        sinceStop: (moment) => moment - start,
      };
    },
  };
  return { now, time };
}

const minuteMs = 60_000;

/** @param urls of the backend, and of one of its Redis servers, whose clock decides */
export function redisBackend(
  name: string,
  urls: () => { readonly url: string; readonly nodeUrl: string },
): TestBackend {
  return {
    name,
    async open(terms, otherTerms) {
      const { url, nodeUrl } = urls();
      const [one, other] = await Promise.all([connectRedis(url, terms), connectRedis(url, otherTerms)]);
      const node = new Redis(nodeUrl);
      return {
        one,
        other,
        now: () => redisTime(node),
        // Redis's clock can't be stopped: sessions are brought nearer to their expiry instead. It runs on during a
        // history, so that leases end by what the history takes, well below a minute, later.
        async stopTime() {
          const start = await redisTime(node);
          let passedMs = 0;
          return {
            async pass(ms, sessionIds, owners) {
              const { client } = one.connection;
              passedMs += ms;
              for (const key of sessionIds.map(sessionKey)) {
                const expiresAt = await client.pexpiretime(key);
                if (expiresAt > 0) await client.pexpireat(key, expiresAt - ms);
              }
              for (const index of owners.map(ownerIndexKey)) {
                for (const id of await client.zrange(index, "0", "-1")) {
                  await client.zincrby(index, -ms * 1000, id);
                }
              }
            },
            sinceStop: (time) => Math.floor((time - start + passedMs) / minuteMs) * minuteMs,
            forget: async (sessionIds) => void (await node.del(...sessionIds.map(sessionKey))),
          };
        },
        async close() {
          await one[Symbol.asyncDispose]();
          await other[Symbol.asyncDispose]();
          node.disconnect();
        },
      };
    },
  };
}
