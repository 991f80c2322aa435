import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { diskError, ownName } from "./disk.ts";
import { DownloadError } from "./download-error.ts";

const sqliteBusy = 5;
const sqliteNotADatabase = 26;

/**
 * An exclusive lock on an item or a file in a directory, against other downloads in this and in other processes. It is
 * a lock of the operating system on an empty file that SQLite opens, because Node.js has no call for file locks. It ends
 * with the process, however that ends; a suspended process keeps it.
 */
export class DiskLock implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
  }

  /** @throws DownloadError `busy` if the lock is held, `disk` if the lock file can't be used */
  static acquire(directory: string, kind: "item" | "file", identifier: string): DiskLock {
    const path = join(directory, ownName(kind, identifier, "lock"));
    try {
      return new DiskLock(path, openLocked(path));
    } catch (error) {
      if (sqliteCode(error) !== sqliteBusy) throw diskError(path, error);
      const what = kind === "item" ? `Item '${identifier}'` : `File '${identifier}'`;
      throw new DownloadError("busy", `${what} is being downloaded into ${directory} by another process`, {
        cause: error,
        ...(kind === "file" && { file: identifier }),
      });
    }
  }

  [Symbol.dispose](): void {
    // Removed while it is locked, so that a process that has opened it already sees that it is gone.
    rmSync(this.#path, { force: true });
    this.#database.close();
  }
}

/** Opens and locks the file, and checks that it still has its name: the previous owner of the lock removes it. */
function openLocked(path: string): DatabaseSync {
  for (;;) {
    new DatabaseSync(path).close();
    const before = identity(path);
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      // A journal in memory leaves no second file behind.
      database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
      if (before !== undefined && before === identity(path)) return database;
      database.close();
    } catch (error) {
      database.close();
      if (sqliteCode(error) !== sqliteNotADatabase) throw error;
      rmSync(path, { force: true });
    }
  }
}

/** Identifies the file that has this name now. */
function identity(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`;
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) return undefined;
  // The primary code is the lower byte; the others add detail.
  return error.errcode & 0xff;
}
