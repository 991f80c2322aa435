import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import {
  keptMs,
  type PreparationResult,
  resultKeptMs,
  resultRenewedMs,
} from "../../src/domain/preparation.ts";
import { preparationKey } from "../../src/stores/redis/keys.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqlitePreparationStore } from "../../src/stores/sqlite/sqlite-preparation-store.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { clocksAt } from "../support/sqlite-backend.ts";
import { tempDir } from "../support/temp-dir.ts";
import { backends } from "./backends.ts";
import { failed, newFile, preparationStoreContract, prepared } from "./preparation-store.ts";

for (const backend of backends) preparationStoreContract(backend);

const failureKeptMs = keptMs(failed);
const mismatch: PreparationResult = { ...failed, messageId: "downlease.file.checksum_mismatch" };

describe("results in SQLite", () => {
  it("are kept for a month after they were last read, failures for a minute", async () => {
    let time = 1_000_000;
    const database = new SqliteDatabase(":memory:", { clocks: clocksAt(() => time) });
    const store = new SqlitePreparationStore(database);
    expect(failureKeptMs).toBe(60_000);
    const [file, read, broken, wrong] = [newFile(), newFile(), newFile(), newFile()];
    for (const [each, result] of [
      [file, prepared],
      [read, prepared],
      [broken, failed],
      [wrong, mismatch],
    ] as const) {
      await store.claim(each, "one", 1_000);
      expect(await store.finish(each, "one", result)).toBe(true);
    }
    time += failureKeptMs - 1;
    expect(await store.find([broken])).toEqual([failed]);
    time += 1;
    expect(await store.find([broken, wrong])).toEqual([undefined, mismatch]);
    time += resultRenewedMs;
    expect(await store.find([read])).toEqual([prepared]);
    time += resultKeptMs - 1;
    expect(await store.find([file, read])).toEqual([undefined, prepared]);
    time += resultKeptMs;
    expect(await store.find([read])).toEqual([undefined]);
    database.close();
  });

  it("are renewed at most once a day, however often they are read", async () => {
    await using dir = await tempDir();
    const path = join(dir.path, "preparations.db");
    let time = 1_000_000;
    const database = new SqliteDatabase(path, { clocks: clocksAt(() => time) });
    const store = new SqlitePreparationStore(database);
    const file = newFile();
    await store.claim(file, "one", 1_000);
    await store.finish(file, "one", prepared);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    time += resultRenewedMs - 1;
    expect(await store.find([file]), "nothing is to be written yet").toEqual([prepared]);
    time += 1;
    expect(await store.find([file]), "the renewal can't be written").toEqual([prepared]);
    const expiry = other.prepare("SELECT expires_at AS expiresAt FROM preparation");
    expect(expiry.get()).toEqual({ expiresAt: 1_000_000 + resultKeptMs });
    other.exec("ROLLBACK");
    expect(await store.find([file])).toEqual([prepared]);
    expect(expiry.get()).toEqual({ expiresAt: time + resultKeptMs });
    other.close();
    database.close();
  });

  it("do not accumulate, nor do claims that have lapsed", async () => {
    let time = 1_000_000;
    const database = new SqliteDatabase(":memory:", { clocks: clocksAt(() => time) });
    const store = new SqlitePreparationStore(database);
    for (let turn = 0; turn < 1_000; turn++) {
      time += 1;
      await store.claim(newFile(), "one", 100);
    }
    const count = database.connection.prepare("SELECT count(*) AS rows FROM preparation");
    expect(count.get()).toEqual({ rows: 100 });
    database.close();
  });
});

describe("preparations in Redis", () => {
  it("last as long as the claim, the result of a month or the failure of a minute", async () => {
    await using backend = await connectRedis(sharedRedisUrl());
    const store = backend.preparations;
    const client = new Redis(sharedRedisUrl());
    try {
      const file = newFile();
      const key = preparationKey(file);
      const expectLeft = async (max: number) => {
        const left = await client.pttl(key);
        expect(left).toBeGreaterThan(max - 30_000);
        expect(left).toBeLessThanOrEqual(max);
      };
      await store.claim(file, "one", 40_000);
      await expectLeft(40_000);
      await store.report(file, "one", 10, 90_000);
      await expectLeft(90_000);
      await store.finish(file, "one", failed);
      await expectLeft(failureKeptMs);
      await store.find([file]);
      await expectLeft(failureKeptMs);
      await store.claim(file, "two", 40_000);
      await expectLeft(40_000);
      await store.finish(file, "two", prepared);
      await expectLeft(resultKeptMs);
      expect((await client.hkeys(key)).sort(), "nothing of the claim is left").toEqual(["r", "s"]);
      const hourMs = 3_600_000;
      await client.pexpire(key, resultKeptMs - resultRenewedMs + hourMs);
      await store.find([file]);
      await expectLeft(resultKeptMs - resultRenewedMs + hourMs);
      await client.pexpire(key, resultKeptMs - resultRenewedMs - hourMs);
      await store.find([file]);
      await expectLeft(resultKeptMs);
      await client.del(key);
    } finally {
      client.disconnect();
    }
  });
});

/** Results as earlier releases write them, which may share a store with this one. */
const earlierResults = [
  { result: prepared, state: "done", text: JSON.stringify({ state: "done", digests: prepared.digests }) },
  {
    result: failed,
    state: "failed",
    text: JSON.stringify({ state: "failed", messageId: failed.messageId, args: failed.args }),
  },
];

describe("results are stored as earlier releases store them", () => {
  it.each(earlierResults)("in SQLite: $state", async ({ result, state, text }) => {
    const database = new SqliteDatabase(":memory:");
    const store = new SqlitePreparationStore(database);
    const file = newFile();
    await store.claim(file, "one", 60_000);
    const row = database.connection.prepare("SELECT state, result FROM preparation");
    expect(row.get()).toEqual({ state: "running", result: null });
    await store.finish(file, "one", result);
    expect(row.get()).toEqual({ state, result: text });
    expect(await store.find([file])).toEqual([result]);
    database.close();
  });

  it.each(earlierResults)("in Redis: $state", async ({ result, state, text }) => {
    await using backend = await connectRedis(sharedRedisUrl());
    const store = backend.preparations;
    const client = new Redis(sharedRedisUrl());
    try {
      const file = newFile();
      await store.claim(file, "one", 60_000);
      expect(await client.hget(preparationKey(file), "s")).toBe("running");
      await store.finish(file, "one", result);
      expect(await client.hgetall(preparationKey(file))).toEqual({ s: state, r: text });
      expect(await store.find([file])).toEqual([result]);
    } finally {
      client.disconnect();
    }
  });
});
