import { randomUUID } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats, unlinkSync } from "node:fs";
import { type FileHandle, lstat, open, rename, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hasCode, syncDirectory } from "./disk.ts";
import { DownloadError } from "./download-error.ts";

// Files that the library keeps in a directory: partial files, states and locks. Others may be allowed to write to the
// directory, and the names are predictable. So a file is created only where there is nothing, not even a link, and an
// existing one is used only if it is a regular file with one name that belongs to the user of this process. Otherwise
// bytes would go to where a link leads, or into a file that somebody else can change.

// Windows has neither.
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
const creation = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | O_NOFOLLOW;
// Without O_NONBLOCK a named pipe would stop the open.
const noFollowing = O_NOFOLLOW | O_NONBLOCK;

/** Readable for the owner only. */
const privateMode = 0o600;
const usualMode = 0o666;

/** Opens or creates a file for reading and writing. @throws DownloadError if it is foreign */
export async function openOwn(path: string, file?: string): Promise<FileHandle> {
  try {
    return await open(path, creation, usualMode);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  return await openExisting(path, constants.O_RDWR, file);
}

/** Opens a file for reading. @throws DownloadError if it is foreign */
export function openOwnToRead(path: string): Promise<FileHandle> {
  return openExisting(path, constants.O_RDONLY);
}

/** Creates a private file; one that an earlier run left is removed. @throws DownloadError if that is foreign */
export async function createOwn(path: string): Promise<FileHandle> {
  try {
    return await open(path, creation, privateMode);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  requireOwn(path, await lstat(path));
  await unlink(path);
  return await open(path, creation, privateMode);
}

/** Replaces a private file in one step, so that no reader sees half of it. @throws DownloadError if its draft is foreign */
export async function replaceOwn(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  const file = await createOwn(draft);
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncDirectory(dirname(path));
}

/**
 * Creates an empty private file if there is none. Does not open an existing one, because closing it would end the locks
 * that this process has on it. Returns its stats; undefined if it is removed meanwhile.
 *
 * @throws DownloadError if it is foreign or not empty
 */
export function makeOwnEmpty(path: string): Stats | undefined {
  try {
    closeSync(openSync(path, creation, privateMode));
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  requireOwn(path, stats);
  if (stats.size > 0) throw foreign(path, "is not empty");
  return stats;
}

/** Whether a name still leads to the file of these stats. */
export function isStill(path: string, stats: Stats): boolean {
  const now = lstatSync(path, { throwIfNoEntry: false });
  return now !== undefined && isSameFile(now, stats);
}

function isSameFile(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino && one.birthtimeMs === other.birthtimeMs;
}

async function openExisting(path: string, access: number, file?: string): Promise<FileHandle> {
  const named = await lstat(path);
  requireOwn(path, named, file);
  const handle = await open(path, access | noFollowing);
  try {
    const opened = await handle.stat();
    requireOwn(path, opened, file);
    if (!isSameFile(named, opened)) throw foreign(path, "was replaced while it was opened", file);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function requireOwn(path: string, stats: Stats, file?: string): void {
  const problem = problemOf(path, stats);
  if (problem !== undefined) throw foreign(path, problem, file);
}

function problemOf(path: string, stats: Stats): string | undefined {
  if (stats.isSymbolicLink()) return "is a symbolic link";
  if (stats.isDirectory()) return "is a directory";
  if (!stats.isFile()) return "is not a regular file";
  if (stats.nlink > 1) return "is a hard link to a file with another name";
  return isOfThisUser(path, stats) ? undefined : "belongs to another user";
}

/** On some file systems, such as those of Windows in a container, every file belongs to one user: a new file shows whom. */
function isOfThisUser(path: string, { uid }: Stats): boolean {
  const user = process.geteuid?.();
  if (user === undefined || uid === user) return true;
  const probe = join(dirname(path), `.downlease-${randomUUID()}.new`);
  const descriptor = openSync(probe, creation, privateMode);
  try {
    return fstatSync(descriptor).uid === uid;
  } finally {
    closeSync(descriptor);
    unlinkSync(probe);
  }
}

function foreign(path: string, problem: string, file?: string): DownloadError {
  const text = `${path} ${problem}, so others may have put it there, and it is not used. Move it away, or choose a directory that only you can write to`;
  return new DownloadError("disk", text, file === undefined ? {} : { file });
}
