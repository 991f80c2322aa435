import { join } from "node:path";
import type { LeaseTerms } from "../../src/domain/session.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionFileStore } from "../../src/stores/sqlite/sqlite-session-file-store.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { tempDir } from "../support/temp-dir.ts";
import { sessionFileStoreContract } from "./session-file-store.ts";
import { redisFileStores } from "./session-file-store-redis.ts";

const sqliteStores = (database: SqliteDatabase, terms: LeaseTerms) => ({
  sessions: new SqliteSessionStore({ database, terms }),
  files: new SqliteSessionFileStore({ database, terms }),
});

sessionFileStoreContract(
  "SQLite file",
  async (terms, otherTerms = terms) => {
    const dir = await tempDir();
    const path = join(dir.path, "sessions.db");
    const [database, otherDatabase] = [new SqliteDatabase(path), new SqliteDatabase(path)];
    return {
      one: sqliteStores(database, terms),
      other: sqliteStores(otherDatabase, otherTerms),
      now: async () => Date.now(),
      async close() {
        database.close();
        otherDatabase.close();
        await dir.remove();
      },
    };
  },
  { untoldToOther: "processes that share a file do not tell each other, and `isReliable` says so" },
);

sessionFileStoreContract("SQLite in memory", async (terms, otherTerms = terms) => {
  const database = new SqliteDatabase(":memory:");
  return {
    one: sqliteStores(database, terms),
    other: sqliteStores(database, otherTerms),
    now: async () => Date.now(),
    close: async () => database.close(),
  };
});

sessionFileStoreContract("Redis", (...terms) => redisFileStores(sharedRedisUrl())(...terms));
