import type { SettingChanges, SettingsStore, StoredSettings } from "../../domain/settings-store.ts";
import type { SqliteDatabase } from "./database.ts";

/** A row for each value. Updates are announced within the process only. */
export class SqliteSettingsStore implements SettingsStore {
  readonly #db: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(database: SqliteDatabase) {
    this.#db = database;
    this.#statements = prepareStatements(database);
  }

  async read(): Promise<StoredSettings> {
    return this.#db.snapshot(() => this.#read());
  }

  async update(version: number, changes: SettingChanges): Promise<StoredSettings | undefined> {
    const { setVersion, set, reset } = this.#statements;
    return this.#db.transaction(
      () => {
        if (setVersion.run({ version }).changes === 0) return undefined;
        for (const [name, value] of Object.entries(changes)) {
          if (value === undefined) reset.run({ name });
          else set.run({ name, value });
        }
        return this.#read();
      },
      (settings) => {
        if (settings !== undefined) this.#db.updates.emit("settings");
      },
    );
  }

  watch(changed: () => void): () => void {
    const { updates } = this.#db;
    updates.on("settings", changed);
    return () => void updates.off("settings", changed);
  }

  #read(): StoredSettings {
    const version = Number(this.#statements.version.get()?.version);
    const rows = this.#statements.all.all() as unknown as readonly {
      readonly name: string;
      readonly value: string;
    }[];
    return { version, values: Object.fromEntries(rows.map(({ name, value }) => [name, value])) };
  }
}

function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    version: db.prepare("SELECT version FROM setting_version"),
    all: db.prepare("SELECT name, value FROM setting"),
    /** :version that is expected. */
    setVersion: db.prepare("UPDATE setting_version SET version = version + 1 WHERE version = :version"),
    set: db.prepare("INSERT OR REPLACE INTO setting (name, value) VALUES (:name, :value)"),
    reset: db.prepare("DELETE FROM setting WHERE name = :name"),
  };
}
