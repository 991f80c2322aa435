import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteLinkKeyStore } from "../../src/stores/sqlite/sqlite-link-key-store.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { startRedis } from "../support/redis-server.ts";
import { tempDir } from "../support/temp-dir.ts";
import { backends } from "./backends.ts";
import { linkKeyStoreContract, newLinkKey, plain } from "./link-key-store.ts";

const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };

for (const backend of backends) linkKeyStoreContract(backend);

describe("the link key in Redis", () => {
  it("is unavailable, never another, when Redis can't be reached", async () => {
    await using redis = await startRedis();
    await using backend = await connectRedis(redis.url);
    const store = backend.linkKeys;
    try {
      const key = await store.linkKey(newLinkKey());
      redis.pause();
      await expect(store.linkKey(newLinkKey())).rejects.toMatchObject(unavailable);
      redis.resume();
      await eventually("Redis to answer", () => backend.probe().then(() => true));
      expect(plain(await store.linkKey(newLinkKey()))).toEqual(plain(key));
    } finally {
      redis.resume();
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
