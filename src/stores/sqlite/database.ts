import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** Marks a file as ours: "dlse" in ASCII, see https://sqlite.org/pragma.html#pragma_application_id */
const applicationId = 0x646c7365;
const schemaVersion = 1;
const schema = readFileSync(new URL("schema.sql", import.meta.url), "utf8");

/**
 * How long a call waits for another process that is writing. The wait blocks this process, and callers are
 * promised an answer within a second; our own transactions take well under a millisecond.
 */
const busyTimeoutMs = 500;
const openAttempts = 5;

/**
 * Opens the file, creates it when it does not exist, and leaves it untouched when it is not ours.
 *
 * @throws Error that names the file and says what is wrong with it
 */
export function openDatabase(path: string): DatabaseSync {
  for (let attempt = 1; ; attempt++) {
    try {
      return open(path);
    } catch (error) {
      // Where waiting could end in a deadlock SQLite does not wait, so processes that create, open and close a file
      // at the same moment get in each other's way: seen in 3 of 1,200 openings.
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
    // With WAL and NORMAL a commit does not wait for the disk: it survives the end of the process, however
    // abrupt, but a power cut may undo the last moments before it. The file stays consistent in any case.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    // Also shows now, not at the first call, that the file can't be written.
    db.exec("BEGIN IMMEDIATE");
    if (isEmpty(db)) {
      db.exec(schema);
      db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`);
    }
    db.exec("COMMIT");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** https://sqlite.org/rescode.html#busy; the upper bits of a code tell details. */
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
    throw new Error("it is a database of some other program");
  }
  const version = pragma(db, "user_version");
  if (version !== schemaVersion) {
    throw new Error(`its schema has version ${version}, this release knows version ${schemaVersion}`);
  }
}

/** No program has put anything into the database yet. */
function isEmpty(db: DatabaseSync): boolean {
  const content = db.prepare("SELECT count(*) AS objects FROM sqlite_schema").get();
  return content?.objects === 0 && pragma(db, "application_id") === 0 && pragma(db, "user_version") === 0;
}

function pragma(db: DatabaseSync, name: "application_id" | "user_version"): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}
