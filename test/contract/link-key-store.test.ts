import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RedisConnection } from "../../src/stores/redis/connection.ts";
import { linkKeyKey } from "../../src/stores/redis/keys.ts";
import { RedisLinkKeyStore } from "../../src/stores/redis/redis-link-key-store.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteLinkKeyStore } from "../../src/stores/sqlite/sqlite-link-key-store.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { tempDir } from "../support/temp-dir.ts";
import { linkKeyStoreContract, newLinkKey, plain } from "./link-key-store.ts";

const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };

linkKeyStoreContract("SQLite file", async () => {
  const dir = await tempDir();
  const path = join(dir.path, "keys.db");
  const [database, other] = [new SqliteDatabase(path), new SqliteDatabase(path)];
  return {
    store: new SqliteLinkKeyStore(database),
    other: new SqliteLinkKeyStore(other),
    async close() {
      database.close();
      other.close();
      await dir.remove();
    },
  };
});

linkKeyStoreContract("SQLite in memory", async () => {
  const database = new SqliteDatabase(":memory:");
  return {
    store: new SqliteLinkKeyStore(database),
    other: new SqliteLinkKeyStore(database),
    close: async () => database.close(),
  };
});

describe("with a Redis of its own", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  async function connect(): Promise<RedisConnection> {
    const connection = RedisConnection.open({ url: redis.url, log: pino({ level: "silent" }) });
    await eventually("Redis to answer", () => connection.ping().then(() => true));
    return connection;
  }

  linkKeyStoreContract("Redis", async () => {
    const [one, other] = [await connect(), await connect()];
    await one.client.del(linkKeyKey);
    return {
      store: new RedisLinkKeyStore(one),
      other: new RedisLinkKeyStore(other),
      async close() {
        one.close();
        other.close();
      },
    };
  });

  it("the key is unavailable, never another, when Redis can't be reached", async () => {
    const connection = await connect();
    try {
      const store = new RedisLinkKeyStore(connection);
      const key = await store.linkKey(newLinkKey());
      redis.pause();
      await expect(store.linkKey(newLinkKey())).rejects.toMatchObject(unavailable);
      redis.resume();
      await eventually("Redis to answer", () => connection.ping().then(() => true));
      expect(plain(await store.linkKey(newLinkKey()))).toEqual(plain(key));
    } finally {
      redis.resume();
      connection.close();
    }
  });
});

describe("the link key in an SQLite file", () => {
  it("is the same for processes that start at once, and after they have ended", async () => {
    await using dir = await tempDir();
    const path = join(dir.path, "keys.db");
    const script = fileURLToPath(new URL("link-key-store-sqlite-client.ts", import.meta.url));
    const clients = await Promise.all([1, 2, 3, 4].map(() => startProcess(process.execPath, [script, path])));
    for (const client of clients) {
      expect(await client.exited, client.stderr).toEqual({ code: 0, signal: null });
    }
    const database = new SqliteDatabase(path);
    const kept = plain(await new SqliteLinkKeyStore(database).linkKey(newLinkKey()));
    database.close();
    expect(clients.map(({ stdout }) => JSON.parse(stdout))).toEqual(clients.map(() => kept));
  });

  it("is unavailable when the file is closed", async () => {
    const database = new SqliteDatabase(":memory:");
    database.close();
    await expect(new SqliteLinkKeyStore(database).linkKey(newLinkKey())).rejects.toMatchObject(unavailable);
  });
});
