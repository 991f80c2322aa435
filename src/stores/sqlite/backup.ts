import { randomUUID } from "node:crypto";
import { lstatSync } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { createPrivately, explainOpening } from "./database-files.ts";
import { inMemory, openExisting } from "./open-file.ts";

/** Pages of a step; after each one the progress is reported. */
const pagesOfStep = 1_000;

/**
 * Copies the database in a file as it is at one moment, while other processes serve from it. The copy gets its name
 * when it is complete and on the disk; only this user may read it.
 *
 * @param target a path where nothing is
 * @param onProgress called with the part that is copied, from 0 to 1
 * @throws Error that says what is wrong
 */
export async function backUpSqlite(
  path: string,
  target: string,
  onProgress: (part: number) => void,
): Promise<void> {
  if (path === inMemory) throw new Error("sessions are kept in memory, so there is no file to copy");
  const copy = resolve(target);
  if (isThere(copy)) throw new Error(existing(copy));
  const unfinished = `${copy}.${randomUUID()}`;
  using source = openExisting(resolve(path));
  try {
    createPrivately(unfinished);
    // The transaction holds the state of the file; else each write of another process would start the copy again.
    source.db.exec("BEGIN; SELECT count(*) FROM sqlite_schema");
    await backup(source.db, unfinished, {
      rate: pagesOfStep,
      progress: ({ totalPages, remainingPages }) => onProgress(1 - remainingPages / totalPages),
    });
    source.db.exec("COMMIT");
    finish(unfinished);
    await sync(unfinished);
    await giveName(unfinished, copy);
  } catch (error) {
    throw new Error(`${copy} can't be written: ${explainOpening(copy, error)}`, { cause: error });
  } finally {
    await rm(unfinished, { force: true });
  }
  // Windows can't open directories.
  if (process.platform !== "win32") await sync(dirname(copy));
}

/** Looks through the copy, and makes it one file that needs no log. */
function finish(path: string): void {
  using db = new DatabaseSync(path);
  const { quick_check: result } = db.prepare("PRAGMA quick_check(1)").get() ?? {};
  if (result !== "ok") throw new Error(`the copy is damaged, as the file probably is: ${result}`);
  db.exec("PRAGMA journal_mode = DELETE");
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A link never takes the place of another file, as a renaming does; not every file system has links. */
async function giveName(unfinished: string, copy: string): Promise<void> {
  try {
    await link(unfinished, copy);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST" || isThere(copy)) throw new Error(existing(copy));
    await rename(unfinished, copy);
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function existing(path: string): string {
  return `${path} exists; a backup takes no other file's place`;
}
