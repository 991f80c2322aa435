import { join } from "node:path";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteLoginStore } from "../../src/stores/sqlite/sqlite-login-store.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { tempDir } from "../support/temp-dir.ts";
import { loginStoreContract } from "./login-store.ts";
import { redisLoginStores } from "./login-store-redis.ts";

loginStoreContract("SQLite file", async (terms, secondTerms = terms) => {
  const dir = await tempDir();
  const path = join(dir.path, "logins.db");
  const [database, other] = [new SqliteDatabase(path), new SqliteDatabase(path)];
  return {
    store: new SqliteLoginStore({ database, terms }),
    second: new SqliteLoginStore({ database: other, terms: secondTerms }),
    now: async () => Date.now(),
    async close() {
      database.close();
      other.close();
      await dir.remove();
    },
  };
});

loginStoreContract("SQLite in memory", async (terms, secondTerms = terms) => {
  const database = new SqliteDatabase(":memory:");
  return {
    store: new SqliteLoginStore({ database, terms }),
    second: new SqliteLoginStore({ database, terms: secondTerms }),
    now: async () => Date.now(),
    close: async () => database.close(),
  };
});

loginStoreContract("Redis", (...terms) => redisLoginStores(sharedRedisUrl())(...terms));
