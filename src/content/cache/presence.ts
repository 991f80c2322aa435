import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { createEmpty } from "./own-files.ts";
import { isBusy } from "./sqlite-errors.ts";

/** A journal in memory leaves no second file behind. */
const lockSql = "PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE";

/**
 * Shows other processes that this one lives: an empty file that SQLite locks, because Node.js has no call for file locks.
 * The lock ends with the process, however that ends, and holds between containers, unlike the number of a process.
 */
export class Presence implements Disposable {
  readonly #path: string;
  readonly #lock: DatabaseSync;

  /** @param folder where each process has a file, named after itself */
  constructor(folder: string, process: string) {
    this.#path = join(folder, process);
    createEmpty(this.#path);
    this.#lock = locked(this.#path);
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { force: true });
    this.#lock.close();
  }
}

/** Whether a process lives. Removes its file when it has ended. */
export function isAlive(folder: string, process: string): boolean {
  const path = join(folder, process);
  try {
    const lock = locked(path);
    rmSync(path, { force: true });
    lock.close();
  } catch (error) {
    // It is locked; anything else means that there is no such file.
    return isBusy(error);
  }
  return false;
}

function locked(path: string): DatabaseSync {
  const location = pathToFileURL(path);
  // Never creates a file.
  location.search = "?mode=rw";
  const database = new DatabaseSync(location, { timeout: 0 });
  try {
    database.exec(lockSql);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
