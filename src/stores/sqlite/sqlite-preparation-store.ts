import type { StatementSync } from "node:sqlite";
import { type Clock, systemClock } from "../../domain/clock.ts";
import { failureKeptMs, resultKeptMs, resultRenewedMs } from "../../domain/preparation.ts";
import type {
  PreparationRecord,
  PreparationResult,
  PreparationStore,
  VersionedFile,
} from "../../domain/preparation-store.ts";
import type { SqliteDatabase } from "./database.ts";

/** Rows that each claim removes at most: garbage goes faster than it comes. */
const purgeLength = 16;

interface PreparationRow {
  readonly state: PreparationRecord["state"];
  readonly worker: string | null;
  readonly bytesDone: number;
  readonly result: string | null;
  readonly expiresAt: number;
}

export interface SqlitePreparationStoreOptions {
  readonly database: SqliteDatabase;
  readonly clock?: Clock;
}

/** One row for each file in a content version; expired ones are invisible, and removed by later claims. */
export class SqlitePreparationStore implements PreparationStore {
  readonly #db: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #clock: Clock;

  constructor({ database, clock = systemClock }: SqlitePreparationStoreOptions) {
    this.#db = database;
    this.#statements = prepareStatements(database);
    this.#clock = clock;
  }

  async find(files: readonly VersionedFile[]): Promise<(PreparationRecord | undefined)[]> {
    return this.#db.guard(() => {
      const now = this.#clock.now();
      return files.map((file) => {
        const row = this.#find(file, now);
        if (row?.state === "done" && row.expiresAt <= now + resultKeptMs - resultRenewedMs) {
          this.#statements.renew.run({ ...nameOf(file), now, expiresAt: now + resultKeptMs });
        }
        return row && recordOf(row);
      });
    });
  }

  async claim(file: VersionedFile, worker: string, claimMs: number): Promise<PreparationRecord | undefined> {
    return this.#db.transaction(() => {
      const now = this.#clock.now();
      this.#statements.purge.run({ now });
      const row = this.#find(file, now);
      if (row?.state === "done" || (row?.state === "running" && row.worker !== worker)) return recordOf(row);
      const bytesDone = row?.state === "running" ? row.bytesDone : 0;
      this.#statements.claim.run({ ...nameOf(file), worker, bytesDone, expiresAt: now + claimMs });
      return undefined;
    });
  }

  async report(file: VersionedFile, worker: string, bytesDone: number, claimMs: number): Promise<boolean> {
    return this.#db.guard(() => {
      const now = this.#clock.now();
      const expiresAt = now + claimMs;
      return (
        this.#statements.report.run({ ...nameOf(file), worker, now, bytesDone, expiresAt }).changes === 1
      );
    });
  }

  async finish(file: VersionedFile, worker: string, result: PreparationResult): Promise<boolean> {
    return this.#db.guard(() => {
      const now = this.#clock.now();
      const { state } = result;
      const expiresAt = now + (state === "done" ? resultKeptMs : failureKeptMs);
      const change = { ...nameOf(file), worker, now, state, result: JSON.stringify(result), expiresAt };
      return this.#statements.finish.run(change).changes === 1;
    });
  }

  async release(file: VersionedFile, worker: string): Promise<void> {
    this.#db.guard(() => this.#statements.release.run({ ...nameOf(file), worker }));
  }

  #find(file: VersionedFile, now: number): PreparationRow | undefined {
    return this.#statements.find.get({ ...nameOf(file), now }) as PreparationRow | undefined;
  }
}

const isFile = "item_id = :itemId AND content_version = :contentVersion AND file_name = :fileName";

/** Every statement is about one file, :itemId, :contentVersion and :fileName, but for the purge. */
function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    /** :now; gives a PreparationRow. */
    find: db.prepare(`
      SELECT state, worker, bytes_done AS bytesDone, result, expires_at AS expiresAt
      FROM preparation WHERE ${isFile} AND expires_at > :now`),

    /** :now and :expiresAt. */
    renew: db.prepare(`
      UPDATE preparation SET expires_at = :expiresAt WHERE ${isFile} AND expires_at > :now AND state = 'done'`),

    /** :worker, :bytesDone and :expiresAt. */
    claim: db.prepare(`
      INSERT OR REPLACE INTO preparation
        (item_id, content_version, file_name, state, worker, bytes_done, expires_at)
      VALUES (:itemId, :contentVersion, :fileName, 'running', :worker, :bytesDone, :expiresAt)`),

    /** :worker, :now, :bytesDone and :expiresAt. */
    report: db.prepare(`
      UPDATE preparation SET bytes_done = :bytesDone, expires_at = :expiresAt
      WHERE ${isFile} AND worker = :worker AND expires_at > :now`),

    /** :worker, :now, :state, :result and :expiresAt. */
    finish: db.prepare(`
      UPDATE preparation SET state = :state, worker = NULL, result = :result, expires_at = :expiresAt
      WHERE ${isFile} AND worker = :worker AND expires_at > :now`),

    /** :worker */
    release: db.prepare(`DELETE FROM preparation WHERE ${isFile} AND worker = :worker`),

    /** :now */
    purge: db.prepare(`
      DELETE FROM preparation WHERE (item_id, content_version, file_name) IN
        (SELECT item_id, content_version, file_name FROM preparation
         WHERE expires_at <= :now ORDER BY expires_at LIMIT ${purgeLength})`),
  } satisfies Record<string, StatementSync>;
}

/** Nothing else that may be known of the file: SQLite refuses parameters that a statement does not have. */
function nameOf({ itemId, contentVersion, fileName }: VersionedFile) {
  return { itemId, contentVersion, fileName };
}

function recordOf({ state, bytesDone, result }: PreparationRow): PreparationRecord {
  if (state === "running") return { state, bytesDone };
  return JSON.parse(result ?? "") as PreparationResult;
}
