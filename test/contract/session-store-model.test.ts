import { randomUUID } from "node:crypto";
import { join } from "node:path";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { LeaseTerms, Renewal } from "../../src/domain/session.ts";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionFileStore } from "../../src/stores/sqlite/sqlite-session-file-store.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { type Answer, everything, history, perform, type Replicas, sessionNumbers } from "./model-history.ts";
import { ModelData, ModelSessionStore } from "./model-session-store.ts";
import { connectedFiles } from "./session-file-store-redis.ts";
import { redisTime } from "./session-store-redis.ts";

const histories = 600;
const minuteMs = 60_000;
const terms: [LeaseTerms, LeaseTerms] = [
  { leaseMs: 60 * minuteMs, retentionMs: 20 * minuteMs },
  { leaseMs: 10 * minuteMs, retentionMs: 30 * minuteMs },
];

/**
 * Time passes in whole minutes. The model and SQLite are given a clock that stands still in between. Redis has its
 * own, which can't be turned: there, every session is brought nearer to its expiry instead. It runs on during a
 * history, so Redis's leases end by what the history takes (well below a minute) later, and are compared in whole
 * minutes.
 */
const clock = { time: 0, now: () => clock.time };

let dir: TempDir;
let node: Redis;
let sqlite: Replicas;
let redis: Replicas;

beforeAll(async () => {
  dir = await tempDir();
  const path = join(dir.path, "sessions.db");
  const inSqlite = (terms: LeaseTerms) => {
    const options = { database: new SqliteDatabase(path), terms, clock };
    return { sessions: new SqliteSessionStore(options), files: new SqliteSessionFileStore(options) };
  };
  sqlite = [inSqlite(terms[0]), inSqlite(terms[1])];
  const url = sharedRedisUrl();
  node = new Redis(url);
  redis = [await connectedFiles(url, terms[0]), await connectedFiles(url, terms[1])];
});

afterAll(async () => {
  await Promise.all([...sqlite, ...redis].map(({ sessions }) => sessions.close()));
  node.disconnect();
  await dir.remove();
});

it(`gives the answers of the rules in ${histories} random histories, in SQLite and in Redis`, async () => {
  const outcomes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const namespace = randomUUID();
      const start = await redisTime(node);
      clock.time = start;
      const data = new ModelData();
      const inModel = (terms: LeaseTerms) => {
        const store = new ModelSessionStore(terms, clock, data);
        return { sessions: store, files: store };
      };
      const model: Replicas = [inModel(terms[0]), inModel(terms[1])];
      const compare = (expected: Answer, fromSqlite: Answer, fromRedis: Answer) => {
        expect(fromSqlite, "SQLite").toEqual(expected);
        const passed = clock.time - start;
        expect(inMinutes(fromRedis, start - passed), "Redis").toEqual(inMinutes(expected, start));
      };
      for (const step of steps) {
        if (step.act === "pass") {
          clock.time += step.minutes * minuteMs;
          await passInRedis(namespace, step.minutes * minuteMs);
          continue;
        }
        const expected = await perform(step, model, namespace);
        const expectedOutcomes = step.act === "keepAliveMany" ? (expected as Renewal[]) : [expected];
        for (const one of expectedOutcomes) outcomes.add(`${step.act}: ${outcomeOf(one)}`);
        compare(expected, await perform(step, sqlite, namespace), await perform(step, redis, namespace));
      }
      const expected = await everything(model, namespace);
      const fromSqlite = await everything(sqlite, namespace);
      const fromRedis = await everything(redis, namespace);
      for (const [index, answer] of expected.entries()) compare(answer, fromSqlite[index], fromRedis[index]);
      await node.del(...sessionNumbers.map((number) => sessionKey(`${namespace}-${number}`)));
    }),
    { numRuns: histories },
  );
  expect([...outcomes], "histories that meet every outcome").toEqual(
    expect.arrayContaining([
      "create: ACTIVE",
      "create: CANCELED",
      "create: ERROR",
      "keepAlive: renewed",
      "keepAlive: not_found",
      "keepAlive: not_active",
      "keepAlive: invalid_progress",
      "keepAliveMany: renewed",
      "keepAliveMany: not_found",
      "keepAliveMany: not_active",
      "keepAliveMany: invalid_progress",
      "finish: finished",
      "finish: not_found",
      "finish: not_active",
      "delete: true",
      "delete: false",
      "get: ACTIVE",
      "get: CANCELED",
      "get: ERROR",
      "get: undefined",
      "files: undefined",
      "files: some",
      "files: none",
      "request: renewed",
      "request: not_found",
      "request: not_active",
      "recordSent: renewed",
      "recordSent: not_found",
      "recordSent: not_active",
    ]),
  );
}, 60_000);

async function passInRedis(namespace: string, ms: number): Promise<void> {
  for (const number of sessionNumbers) {
    const key = sessionKey(`${namespace}-${number}`);
    const expiresAt = await node.pexpiretime(key);
    if (expiresAt > 0) await node.pexpireat(key, expiresAt - ms);
  }
}

/** The answer with its expiry in whole minutes after `origin`. */
function inMinutes(answer: Answer | string, origin: number): unknown {
  if (Array.isArray(answer)) return answer.map((one) => inMinutes(one, origin));
  if (typeof answer === "object" && "files" in answer) {
    return { ...answer, session: inMinutes(answer.session, origin) };
  }
  if (typeof answer !== "object" || !("expiresAt" in answer) || answer.expiresAt === undefined) return answer;
  return { ...answer, expiresAt: Math.floor((answer.expiresAt - origin) / minuteMs) };
}

function outcomeOf(answer: Answer): string {
  if (typeof answer !== "object") return String(answer);
  if ("files" in answer) return answer.files.size > 0 ? "some" : "none";
  if ("state" in answer && !("outcome" in answer)) return answer.state;
  return "outcome" in answer ? answer.outcome : "several";
}
