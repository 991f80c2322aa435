import type { StatementSync } from "node:sqlite";
import {
  keptMs,
  type PreparationResult,
  resultKeptMs,
  resultRenewedMs,
  type StoredPreparation,
  type VersionedFile,
} from "../../domain/preparation.ts";
import {
  decodeResult,
  encodeResult,
  type PreparationStore,
  storedStatuses,
} from "../../domain/preparation-store.ts";
import type { StoreClock } from "./clock.ts";
import type { SqliteDatabase } from "./database.ts";

/** Rows that each claim removes at most; more than one, so that garbage shrinks. */
const purgeLength = 16;

const { PREPARING, PREPARED } = storedStatuses;

interface PreparationRow {
  /** One of `storedStatuses`. */
  readonly state: (typeof storedStatuses)[StoredPreparation["status"]];
  readonly worker: string | null;
  readonly bytesDone: number;
  readonly verifyFirst: 0 | 1;
  readonly result: string | null;
  readonly expiresAt: number;
}

/** One row for each file in a content version; expired ones are invisible, and removed by later claims. */
export class SqlitePreparationStore implements PreparationStore {
  readonly #db: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #clock: StoreClock;

  constructor(database: SqliteDatabase) {
    this.#db = database;
    this.#statements = prepareStatements(database);
    this.#clock = database.clock;
  }

  async find(files: readonly VersionedFile[]): Promise<(StoredPreparation | undefined)[]> {
    return this.#db.read(() => {
      const now = this.#clock.now();
      return files.map((file) => {
        const row = this.#find(file, now);
        if (row?.state === PREPARED && row.expiresAt <= now + resultKeptMs - resultRenewedMs) {
          const renewal = { ...nameOf(file), now, expiresAt: now + resultKeptMs };
          // If this can't be written, a later look writes it, or the file is prepared once more.
          this.#db.attempt(() => this.#statements.renew.run(renewal));
        }
        return row && preparationOf(row);
      });
    });
  }

  async claim(file: VersionedFile, worker: string, claimMs: number): Promise<StoredPreparation | undefined> {
    return this.#db.transaction(() => {
      const now = this.#clock.now();
      this.#statements.purge.run({ now });
      const row = this.#find(file, now);
      const isInTheWay = row?.state === PREPARED || (row?.state === PREPARING && row.worker !== worker);
      if (isInTheWay) return preparationOf(row!);
      const bytesDone = row?.state === PREPARING ? row.bytesDone : 0;
      const verifyFirst = row === undefined || row.state === PREPARING ? (row?.verifyFirst ?? 0) : 1;
      const claim = { worker, bytesDone, verifyFirst, expiresAt: now + claimMs };
      this.#statements.claim.run({ ...nameOf(file), ...claim });
      return undefined;
    });
  }

  async report(file: VersionedFile, worker: string, bytesDone: number, claimMs: number): Promise<boolean> {
    return this.#db.write(() => {
      const now = this.#clock.now();
      const expiresAt = now + claimMs;
      return (
        this.#statements.report.run({ ...nameOf(file), worker, now, bytesDone, expiresAt }).changes === 1
      );
    });
  }

  async finish(file: VersionedFile, worker: string, result: PreparationResult): Promise<boolean> {
    return this.#db.write(() => {
      const now = this.#clock.now();
      const { status } = result;
      const state = storedStatuses[status];
      const expiresAt = now + keptMs(result);
      const change = { ...nameOf(file), worker, now, state, result: encodeResult(result), expiresAt };
      return this.#statements.finish.run(change).changes === 1;
    });
  }

  async release(file: VersionedFile, worker: string): Promise<void> {
    await this.#db.write(() => this.#statements.release.run({ ...nameOf(file), worker }));
  }

  #find(file: VersionedFile, now: number): PreparationRow | undefined {
    return this.#statements.find.get({ ...nameOf(file), now }) as PreparationRow | undefined;
  }
}

const isFile = "item_id = :itemId AND content_version = :contentVersion AND file_name = :fileName";

/** Every statement is about one file, :itemId, :contentVersion and :fileName, but for the purge. */
function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    /** :now; returns a PreparationRow. */
    find: db.prepare(`
      SELECT state, worker, bytes_done AS bytesDone, verify_first AS verifyFirst, result, expires_at AS expiresAt
      FROM preparation WHERE ${isFile} AND expires_at > :now`),

    /** :now and :expiresAt. */
    renew: db.prepare(`
      UPDATE preparation SET expires_at = :expiresAt WHERE ${isFile} AND expires_at > :now AND state = '${PREPARED}'`),

    /** :worker, :bytesDone, :verifyFirst and :expiresAt. */
    claim: db.prepare(`
      INSERT OR REPLACE INTO preparation
        (item_id, content_version, file_name, state, worker, bytes_done, verify_first, expires_at)
      VALUES
        (:itemId, :contentVersion, :fileName, '${PREPARING}', :worker, :bytesDone, :verifyFirst, :expiresAt)`),

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

/** The parameters that name a file, and no others: SQLite refuses parameters that a statement does not have. */
function nameOf({ itemId, contentVersion, fileName }: VersionedFile) {
  return { itemId, contentVersion, fileName };
}

function preparationOf({ state, bytesDone, verifyFirst, result }: PreparationRow): StoredPreparation {
  if (state !== PREPARING) return decodeResult(result ?? "");
  return { status: "PREPARING", bytesDone, ...(verifyFirst === 1 && { verifyFirst: true }) };
}
