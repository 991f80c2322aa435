import type { LinkKey, LinkKeyStore } from "../../domain/link-key-store.ts";
import type { SqliteDatabase } from "./database.ts";

/** One row, for as long as the file exists. */
export class SqliteLinkKeyStore implements LinkKeyStore {
  readonly #db: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#db = database;
  }

  /** Called once at start, so its statements are not kept. */
  async linkKey({ id, secret }: LinkKey): Promise<LinkKey> {
    return this.#db.transaction(() => {
      const { connection } = this.#db;
      connection
        .prepare("INSERT OR IGNORE INTO link_key (only, id, secret) VALUES (1, :id, :secret)")
        .run({ id, secret: Buffer.from(secret).toString("base64") });
      const kept = connection.prepare("SELECT id, secret FROM link_key").get();
      return { id: String(kept?.id), secret: Buffer.from(String(kept?.secret), "base64") };
    });
  }
}
