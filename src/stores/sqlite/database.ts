import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { ServiceError } from "../../domain/errors.ts";

/** SQLite has no clock of its own; tests replace this one. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** Marks a file as ours: "dlse" in ASCII, see https://sqlite.org/pragma.html#pragma_application_id */
const applicationId = 0x646c7365;

/** The additions of each schema version, in order. The version of a file is the number of additions that it has. */
const schema = ["1-sessions", "2-logins", "3-downloads", "4-roles"].map((name) =>
  readFileSync(new URL(`schema/${name}.sql`, import.meta.url), "utf8"),
);

/**
 * How long a call waits for another process that is writing. The wait blocks this process, and callers are
 * promised an answer within a second; our own transactions take well under a millisecond.
 */
const busyTimeoutMs = 500;
const openAttempts = 5;

/** The SQLite file that the stores of a backend share. Failures become ServiceErrors `downlease.store.unavailable`. */
export class SqliteDatabase {
  readonly connection: DatabaseSync;
  /** Whether no other process can use the database. */
  readonly isPrivate: boolean;
  /** Announces each session that this process ends, once that is committed. */
  readonly ends = new EventEmitter<{ session: [id: string] }>().setMaxListeners(0);
  readonly #ping: StatementSync;

  /**
   * Opens the file, or creates it. A file that is not ours is left untouched.
   *
   * @param path a file, or `:memory:`; several processes of one machine may share a file
   * @throws Error that names the file and says what is wrong with it, or that a newer release has written it
   */
  constructor(path: string) {
    this.connection = openDatabase(path);
    this.isPrivate = path === ":memory:";
    this.#ping = this.connection.prepare("SELECT 1 FROM session LIMIT 1");
  }

  /** Turns errors of the driver into ServiceErrors. */
  guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (isDriverError(error)) throw new ServiceError("downlease.store.unavailable", [], error);
      throw error;
    }
  }

  /** Runs work that reads and changes the database in one atomic step, also for other processes. */
  transaction<T>(work: () => T): T {
    return this.#asOne("BEGIN IMMEDIATE", work);
  }

  /** Runs work that reads one state of the database and changes nothing; waits for no writer. */
  snapshot<T>(work: () => T): T {
    return this.#asOne("BEGIN", work);
  }

  ping(): void {
    this.guard(() => this.#ping.get());
  }

  /** The last process to close a file moves the log into it and removes the log. */
  close(): void {
    if (this.connection.isOpen) this.guard(() => this.connection.close());
  }

  #asOne<T>(begin: "BEGIN" | "BEGIN IMMEDIATE", work: () => T): T {
    return this.guard(() => {
      this.connection.exec(begin);
      try {
        const result = work();
        this.connection.exec("COMMIT");
        return result;
      } catch (error) {
        // Some errors, a full disk among them, have rolled back already.
        if (this.connection.isTransaction) this.connection.exec("ROLLBACK");
        throw error;
      }
    });
  }
}

function openDatabase(path: string): DatabaseSync {
  for (let attempt = 1; ; attempt++) {
    try {
      return open(path);
    } catch (error) {
      // SQLite does not wait where that could end in a deadlock, so processes that create, open and close a file at the
      // same moment can fail: seen in 3 of 1,200 openings.
      if (isBusy(error) && attempt < openAttempts) continue;
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`SQLite file '${path}' can't be used: ${reason}`, { cause: error });
    }
  }
}

function open(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    refuseForeign(db);
    // With WAL and NORMAL a commit does not wait for the disk: it survives any end of the process, but a power cut may
    // undo the last moments. The file stays consistent in any case.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    // Fails now, not at the first call, if the file is not writable.
    db.exec("BEGIN IMMEDIATE");
    const missing = schema.slice(pragma(db, "user_version"));
    if (missing.length > 0) {
      for (const addition of missing) db.exec(addition);
      db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schema.length}`);
    }
    db.exec("COMMIT");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Whether SQLite failed (locked, full, damaged, input or output), or the database is closed. */
function isDriverError(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ERR_SQLITE_ERROR" || code === "ERR_INVALID_STATE";
}

/** https://sqlite.org/rescode.html#busy; the upper bits of a code are details. */
function isBusy(error: unknown): boolean {
  return (
    error instanceof Error &&
    "errcode" in error &&
    typeof error.errcode === "number" &&
    (error.errcode & 0xff) === 5
  );
}

function refuseForeign(db: DatabaseSync): void {
  if (isEmpty(db)) return;
  if (pragma(db, "application_id") !== applicationId) {
    throw new Error("it is the database of another program");
  }
  const version = pragma(db, "user_version");
  if (version < 1 || version > schema.length) {
    throw new Error(`its schema has version ${version}, this release knows version ${schema.length}`);
  }
}

/** Whether no program has written anything into the database. */
function isEmpty(db: DatabaseSync): boolean {
  const content = db.prepare("SELECT count(*) AS objects FROM sqlite_schema").get();
  return content?.objects === 0 && pragma(db, "application_id") === 0 && pragma(db, "user_version") === 0;
}

function pragma(db: DatabaseSync, name: "application_id" | "user_version"): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}
