import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { failureKeptMs, resultKeptMs, resultRenewedMs } from "../../src/domain/preparation.ts";
import { preparationKey } from "../../src/stores/redis/keys.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqlitePreparationStore } from "../../src/stores/sqlite/sqlite-preparation-store.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { tempDir } from "../support/temp-dir.ts";
import { backends } from "./backends.ts";
import { done, failed, newFile, preparationStoreContract } from "./preparation-store.ts";

for (const backend of backends) preparationStoreContract(backend);

describe("results in SQLite", () => {
  it("are remembered for a month after they were last asked for, failures for a minute", async () => {
    let time = 1_000_000;
    const database = new SqliteDatabase(":memory:");
    const store = new SqlitePreparationStore({ database, clock: { now: () => time } });
    const [file, asked, broken] = [newFile(), newFile(), newFile()];
    for (const [each, result] of [
      [file, done],
      [asked, done],
      [broken, failed],
    ] as const) {
      await store.claim(each, "one", 1_000);
      expect(await store.finish(each, "one", result)).toBe(true);
    }
    time += failureKeptMs - 1;
    expect(await store.find([broken])).toEqual([failed]);
    time += 1;
    expect(await store.find([broken])).toEqual([undefined]);
    time += resultRenewedMs;
    expect(await store.find([asked])).toEqual([done]);
    time += resultKeptMs - 1;
    expect(await store.find([file, asked])).toEqual([undefined, done]);
    time += resultKeptMs;
    expect(await store.find([asked])).toEqual([undefined]);
    database.close();
  });

  it("are written down anew at most once a day, however often they are asked for", async () => {
    await using dir = await tempDir();
    const path = join(dir.path, "preparations.db");
    let time = 1_000_000;
    const database = new SqliteDatabase(path);
    const store = new SqlitePreparationStore({ database, clock: { now: () => time } });
    const file = newFile();
    await store.claim(file, "one", 1_000);
    await store.finish(file, "one", done);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    time += resultRenewedMs - 1;
    expect(await store.find([file]), "nothing is to be written yet").toEqual([done]);
    time += 1;
    await expect(store.find([file])).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
    other.exec("ROLLBACK");
    other.close();
    expect(await store.find([file])).toEqual([done]);
    database.close();
  });

  it("do not pile up, nor do claims that have lapsed", async () => {
    let time = 1_000_000;
    const database = new SqliteDatabase(":memory:");
    const store = new SqlitePreparationStore({ database, clock: { now: () => time } });
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
      const expectLeft = async (most: number) => {
        const left = await client.pttl(key);
        expect(left).toBeGreaterThan(most - 30_000);
        expect(left).toBeLessThanOrEqual(most);
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
      await store.finish(file, "two", done);
      await expectLeft(resultKeptMs);
      expect((await client.hkeys(key)).sort(), "nothing of the work is left").toEqual(["r", "s"]);
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
