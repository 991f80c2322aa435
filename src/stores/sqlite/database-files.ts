import { accessSync, closeSync, constants, openSync, readlinkSync, type Stats, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { isCannotOpen, isReadOnly } from "./driver-errors.ts";

interface OpenFile {
  readonly path: string;
  /** Device and inode. */
  readonly identity: string;
  readonly mode: bigint;
}

/**
 * The files of an open database. SQLite goes on with a file that was deleted or replaced, and what it acknowledges then
 * is lost when the process ends.
 */
export class DatabaseFiles {
  readonly #files: readonly OpenFile[];

  /** @param path of a database that is open; its log exists from the first write until the last process closes it */
  constructor(path: string) {
    this.#files = [path, `${path}-wal`].flatMap((file) => {
      const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
      if (stats === undefined) return [];
      return [{ path: file, identity: `${stats.dev}:${stats.ino}`, mode: stats.mode }];
    });
  }

  /** The files that everybody on this machine may read or write. */
  get publicFiles(): string[] {
    return this.#files.filter(({ mode }) => (mode & 0o006n) !== 0n).map(({ path }) => path);
  }

  /** Resolves with what is wrong with them; undefined when they are those that were opened. */
  async problem(): Promise<string | undefined> {
    for (const { path, identity } of this.#files) {
      const change = await changeOf(path, identity);
      if (change !== undefined) return `${path} ${change}; put it back, or restart the service`;
    }
    return undefined;
  }
}

async function changeOf(path: string, identity: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}` === identity ? undefined : "was replaced by another file";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? "was deleted" : `can't be looked at (${code})`;
  }
}

/**
 * Makes an empty file that only this user may read, unless there is one: sessions and the key of links are in it, and
 * SQLite would make it as the umask says. SQLite gives the log and the shared memory the mode of the file. Where it
 * can't be made, SQLite says why.
 */
export function createPrivately(path: string): void {
  try {
    // An existing file is not opened: closing it would give up the locks that this process has on it.
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    const target = (error as NodeJS.ErrnoException).code === "EEXIST" ? danglingTarget(path) : undefined;
    if (target !== undefined) createPrivately(target);
  }
}

/** Where a link leads to that leads to nothing yet. */
function danglingTarget(path: string): string | undefined {
  try {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return undefined;
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    // A link that leads to itself among others.
    return undefined;
  }
}

/** Why a file can't be opened, where SQLite does not say it. */
export function explainOpening(path: string, error: unknown): string {
  const problem = isCannotOpen(error) || isReadOnly(error) ? problemOf(path) : undefined;
  return problem ?? (error instanceof Error ? error.message : String(error));
}

function problemOf(path: string): string | undefined {
  const directory = dirname(path);
  const stats = statsOf(directory);
  if (stats === undefined) return `no such directory: ${directory}`;
  if (!stats.isDirectory()) return `not a directory: ${directory}`;
  const file = statsOf(path);
  if (file?.isDirectory()) return "it is a directory";
  return accessProblem(directory) ?? (file && accessProblem(path));
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    // A directory above may not be searched; SQLite's own error is left.
    return undefined;
  }
}

function accessProblem(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EROFS") return `the file system is read-only: ${path}`;
    return code === "EACCES" || code === "EPERM" ? `access is denied: ${path}` : undefined;
  }
}
