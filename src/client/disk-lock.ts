import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { diskError, ownName } from "./disk.ts";
import { DownloadError } from "./download-error.ts";

const sqliteBusy = 5;
const sqliteNotADatabase = 26;

/**
 * Keeps others, in this process and in others, from working on the same thing in the same directory. The lock is the
 * system's, on an empty file that SQLite opens, because Node.js has no call for it: it ends with the process, however
 * that ends, and a process that is stopped keeps it.
 */
export class DiskLock implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
  }

  /** @throws DownloadError `busy` when somebody has it, `disk` when it can't be had */
  static take(directory: string, kind: "item" | "file", identifier: string): DiskLock {
    const path = join(directory, ownName(kind, identifier, "lock"));
    try {
      return new DiskLock(path, locked(path));
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
    // Removed while it is locked: who opened it before sees that it is gone.
    rmSync(this.#path, { force: true });
    this.#database.close();
  }
}

/** Opens the file and locks it, and makes sure that it still has its name then: who had it before removes it. */
function locked(path: string): DatabaseSync {
  for (;;) {
    new DatabaseSync(path).close();
    const before = identity(path);
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      // A journal in a file would be one more file to look after.
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

/** Which file has the name now. */
function identity(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`;
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) return undefined;
  // The lower byte; the others tell more about it.
  return error.errcode & 0xff;
}
