import { createHash } from "node:crypto";
import { mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { DownloadError } from "./download-error.ts";

const meanings: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EIO: "the disk reports an input/output error",
  EROFS: "the file system is read-only",
  EACCES: "access is denied",
  EPERM: "access is denied",
  EFBIG: "the file is too large for the file system",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "it is a symbolic link",
  EISDIR: "a directory has that name",
  EEXIST: "a file has that name",
  ENOTDIR: "a part of the path is not a directory",
  ENOENT: "no such file or directory",
  EINVAL: "the file system does not accept the name",
  EILSEQ: "the file system does not accept the name",
};

/** Runs file operations. An error of the file system becomes a `DownloadError` with reason `disk`. */
export async function onDisk<T>(path: string, work: () => T | Promise<T>, file?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskError(path, error, file);
  }
}

/** What an error of the file system means; undefined for any other error. */
export function diskErrorMeaning(error: unknown): string | undefined {
  if (!(error instanceof Error && "code" in error && typeof error.code === "string")) return undefined;
  return meanings[error.code] ?? "the file system reports an error";
}

export function diskError(path: string, error: unknown, file?: string): unknown {
  if (!(error instanceof Error && "code" in error && typeof error.code === "string")) return error;
  const meaning = meanings[error.code] ?? error.message;
  return new DownloadError("disk", `${path} can't be written: ${meaning} (${error.code})`, {
    cause: error,
    ...(file !== undefined && { file }),
  });
}

/**
 * Makes a directory and those above it that do not exist. Returns the first one that it made; undefined if the directory
 * exists. `mkdir` with `recursive` never ends where a file system refuses new names with ENOENT, as `/proc` does.
 */
export async function makeDirectories(path: string, mode?: number): Promise<string | undefined> {
  try {
    return await makeDirectory(path, mode);
  } catch (error) {
    if (!hasCode(error, "ENOENT") || dirname(path) === path) throw error;
    const first = await makeDirectories(dirname(path), mode);
    const made = await makeDirectory(path, mode);
    return first ?? made;
  }
}

/** Returns its path; undefined if it exists. */
async function makeDirectory(path: string, mode: number | undefined): Promise<string | undefined> {
  try {
    await mkdir(path, { mode });
    return path;
  } catch (error) {
    if (hasCode(error, "EEXIST") && (await stat(path)).isDirectory()) return undefined;
    throw error;
  }
}

/** Whether an error of the system has the code, for example `ENOENT`. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** Syncs the names in a directory. Windows can't sync directories and needs no sync for names to last. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  await using directory = await open(path, "r");
  await directory.sync();
}

/**
 * Name of a file in which the client keeps data about an item or a file. Any key gives a valid name.
 *
 * @param key the identifier of the item, or the `nameKey` of the file
 */
export function ownName(kind: "item" | "file", key: string, extension: string): string {
  const digest = createHash("sha256").update(`${kind}\0${key}`).digest("hex").slice(0, 20);
  return `.downlease-${digest}.${extension}`;
}
