import { join } from "node:path";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { tempDir } from "../support/temp-dir.ts";
import { sessionStoreContract } from "./session-store.ts";
import { redisStores } from "./session-store-redis.ts";

sessionStoreContract("SQLite file", async (terms, secondTerms = terms) => {
  const dir = await tempDir();
  const path = join(dir.path, "sessions.db");
  const store = new SqliteSessionStore({ database: new SqliteDatabase(path), terms });
  const second = new SqliteSessionStore({ database: new SqliteDatabase(path), terms: secondTerms });
  return {
    store,
    second,
    now: async () => Date.now(),
    async close() {
      await Promise.all([store.close(), second.close()]);
      await dir.remove();
    },
  };
});

sessionStoreContract(
  "SQLite in memory",
  async (terms) => {
    const store = new SqliteSessionStore({ database: new SqliteDatabase(":memory:"), terms });
    return { store, second: store, now: async () => Date.now(), close: () => store.close() };
  },
  { noSecond: "a database in memory has one instance" },
);

sessionStoreContract("Redis", (...terms) => redisStores(sharedRedisUrl())(...terms));
