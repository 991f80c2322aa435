import { existsSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { createPrivately, explainOpening } from "./database-files.ts";
import { isBusy } from "./driver-errors.ts";

/** Marks a file as ours: "dlse" in ASCII, see https://sqlite.org/pragma.html#pragma_application_id */
const applicationId = 0x646c7365;

/** The additions of each schema version, in order. The version of a file is the number of additions that it has. */
const schema = [
  "1-sessions",
  "2-logins",
  "3-downloads",
  "4-roles",
  "5-time",
  "6-session-counts",
  "7-settings",
  "8-early-files",
  "9-session-records",
  "10-session-changes",
  "11-replicas",
  "12-users",
].map((name) => readFileSync(new URL(`schema/${name}.sql`, import.meta.url), "utf8"));

/** The path of a database that is no file. */
export const inMemory = ":memory:";

/** How long the start waits for other processes that open or write the file. It may block: nobody is served yet. */
const busyTimeoutMs = 500;
const openAttempts = 5;

/**
 * Opens the file, or creates it. A file that is not ours is left untouched. Later statements do not wait for a lock.
 *
 * @param prepare done in the transaction that also brings the schema up to date
 * @throws Error that names the file and says what is wrong with it, or that a newer release has written it
 */
export function openFile<T>(
  path: string,
  prepare: (db: DatabaseSync) => T,
): { db: DatabaseSync; prepared: T } {
  for (let attempt = 1; ; attempt++) {
    try {
      return open(path, prepare);
    } catch (error) {
      // SQLite does not wait where that could end in a deadlock, so processes that create, open and close a file at the
      // same moment can fail: seen in 3 of 1,200 openings.
      if (isBusy(error) && attempt < openAttempts) continue;
      throw unusable(path, error);
    }
  }
}

/** A file that exists, opened as it is. */
export interface ExistingFile extends Disposable {
  readonly db: DatabaseSync;
  /** How many of the additions to the schema it lacks. */
  readonly missing: number;
}

/**
 * Opens a file that exists and changes nothing in it. The last process to close a file moves the log into it.
 *
 * @throws Error as `openFile`
 */
export function openExisting(path: string): ExistingFile {
  const url = pathToFileURL(path);
  // Without this mode SQLite would make a file that is missing.
  url.searchParams.set("mode", "rw");
  let db: DatabaseSync | undefined;
  try {
    if (!existsSync(path)) throw new Error("it does not exist");
    db = new DatabaseSync(url, { timeout: busyTimeoutMs });
    refuseForeign(db);
    const missing = schema.length - pragma(db, "user_version");
    const opened = db;
    return { db, missing, [Symbol.dispose]: () => opened.close() };
  } catch (error) {
    if (db?.isOpen) db.close();
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): Error {
  return new Error(`SQLite file '${path}' can't be used: ${explainOpening(path, error)}`, { cause: error });
}

function open<T>(path: string, prepare: (db: DatabaseSync) => T): { db: DatabaseSync; prepared: T } {
  if (path !== inMemory) createPrivately(path);
  const db = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    refuseForeign(db);
    // With WAL and NORMAL a commit does not wait for the disk: it survives any end of the process, but a power cut may
    // undo the last moments. The file stays consistent in any case.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    // Fails now, not at the first call, if the file is locked.
    db.exec("BEGIN IMMEDIATE");
    const missing = schema.slice(pragma(db, "user_version"));
    if (missing.length > 0) {
      for (const addition of missing) db.exec(addition);
      db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schema.length}`);
    }
    const prepared = prepare(db);
    db.exec("COMMIT");
    db.exec("PRAGMA busy_timeout = 0");
    return { db, prepared };
  } catch (error) {
    db.close();
    throw error;
  }
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
