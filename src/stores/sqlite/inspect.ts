import { accessSync, constants, statfsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Finding, ok, warning, wrong } from "../../domain/finding.ts";
import { explainOpening } from "./database-files.ts";
import { inMemory, openExisting } from "./open-file.ts";

const mebibyte = 1024 * 1024;
/** Space for the log of the file, and for ten thousand sessions. */
const minFreeBytes = 16 * mebibyte;
const lowFreeBytes = 256 * mebibyte;

/**
 * Whether sessions can be kept in a file. The lock for writing is taken and given back; nothing is written, and a file
 * that does not exist is not made.
 */
export function inspectSqlite(path: string): Finding[] {
  if (path === inMemory) {
    return [ok("store", "sessions are kept in memory, and end with the process")];
  }
  const file = resolve(path);
  return [storeFinding(file), ...spaceFindings(dirname(file))];
}

function storeFinding(file: string): Finding {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return newFileFinding(file);
  try {
    using opened = openExisting(file);
    opened.db.exec("BEGIN IMMEDIATE; ROLLBACK");
    if (process.platform !== "win32" && (stats.mode & 0o006) !== 0) {
      return warning("store", `everybody on this machine can read the SQLite file: chmod o-rw ${file}`);
    }
    if (opened.missing === 0) return ok("store", `the SQLite file ${file} can be written`);
    const next = "the next start converts it, and earlier releases do not open it any more: back it up first";
    return warning("store", `the SQLite file ${file} is of an earlier release; ${next}`);
  } catch (error) {
    const { message } = error as Error;
    return wrong(
      "store",
      message.includes(file) ? message : `the SQLite file ${file} can't be written: ${message}`,
    );
  }
}

function newFileFinding(file: string): Finding {
  try {
    accessSync(dirname(file), constants.R_OK | constants.W_OK | constants.X_OK);
    return ok("store", `the first start makes the SQLite file ${file}`);
  } catch (error) {
    const cause = Object.assign(new Error((error as NodeJS.ErrnoException).code), { errcode: 14 });
    return wrong("store", `the SQLite file ${file} can't be made: ${explainOpening(file, cause)}`);
  }
}

function spaceFindings(directory: string): Finding[] {
  let freeBytes: number;
  try {
    const { bavail, bsize } = statfsSync(directory);
    freeBytes = bavail * bsize;
  } catch {
    // The finding about the file says why.
    return [];
  }
  const free = `${Math.floor(freeBytes / mebibyte)} MiB are free in ${directory}`;
  if (freeBytes < minFreeBytes) return [wrong("disk", `${free}; sessions need 16 MiB at least`)];
  if (freeBytes < lowFreeBytes) return [warning("disk", `${free}; a full disk ends the service's readiness`)];
  return [ok("disk", free)];
}
