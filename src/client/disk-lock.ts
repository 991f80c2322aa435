import { rmSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { diskError, ownName } from "./disk.ts";
import { DownloadError } from "./download-error.ts";
import { isStill, makeOwnEmpty } from "./own-files.ts";

const sqliteBusy = 5;
/** Each means that the file got another owner or was removed in the meantime. */
const maxAttempts = 1_000;

/**
 * A journal in memory leaves no second file behind. The mode is set in a transaction, which has SQLite refuse to change
 * a database in WAL mode: should the name lead to the database of another program after it was checked, that stays as
 * it is.
 */
const lockSql = "BEGIN; PRAGMA journal_mode = MEMORY; COMMIT; BEGIN EXCLUSIVE";

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

  /**
   * @param key what the lock is known by, see `ownName`
   * @throws DownloadError `busy` if the lock is held, `disk` if the lock file can't be used
   */
  static acquire(
    directory: string,
    kind: "item" | "file",
    identifier: string,
    key: string = identifier,
  ): DiskLock {
    const path = join(directory, ownName(kind, key, "lock"));
    try {
      return new DiskLock(path, openLocked(path));
    } catch (error) {
      const code = sqliteCode(error);
      if (code === undefined) throw diskError(path, error);
      if (code !== sqliteBusy) {
        const text = `${path} can't be locked. Choose a directory on a file system that offers locks`;
        throw new DownloadError("disk", text, { cause: error });
      }
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
  // Loaded now, so that a release of Node.js without it gets as far as saying that it is too old.
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  // Never creates a file, where a link may lead.
  const location = pathToFileURL(path);
  location.search = "?mode=rw";
  for (let attempts = 0; attempts < maxAttempts; attempts++) {
    const stats = makeOwnEmpty(path);
    if (stats === undefined) continue;
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(location, { timeout: 0 });
      database.exec(lockSql);
      if (isStill(path, stats)) return database;
      database.close();
    } catch (error) {
      database?.close();
      if (sqliteCode(error) === sqliteBusy || isStill(path, stats)) throw error;
    }
  }
  throw new DownloadError("disk", `${path} is replaced again and again. Choose another directory`);
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) return undefined;
  // The primary code is the lower byte; the others add detail.
  return error.errcode & 0xff;
}
