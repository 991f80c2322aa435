import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { sep } from "node:path";

/** ELOOP: links that lead nowhere; ENAMETOOLONG: no entry can have such a name; ENXIO: a socket. */
const missing = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO"]);

/** What a file system operation gives, or undefined when what it is about does not exist (any more). */
export async function unlessMissing<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (reason) {
    if (isSystemError(reason) && missing.has(reason.code)) return undefined;
    throw reason;
  }
}

/** Whether the operating system refused an operation; other errors are mistakes of ours. */
export function isSystemError(reason: unknown): reason is Error & { readonly code: string } {
  return reason instanceof Error && "syscall" in reason && "code" in reason;
}

/**
 * Where a path leads once all links are followed; undefined when that does not exist or lies outside of `root`.
 *
 * @param root a real path
 */
export async function realPathWithin(root: string, path: string): Promise<string | undefined> {
  const real = await unlessMissing(realpath(path));
  const below = root.endsWith(sep) ? root : root + sep;
  return real === root || real?.startsWith(below) ? real : undefined;
}

export interface OpenFile {
  readonly handle: FileHandle;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch, whole ones. */
  readonly modifiedMs: number;
}

/** How large a regular file is and when it was modified; undefined when it is something else. */
export async function stateOf(handle: FileHandle): Promise<Omit<OpenFile, "handle"> | undefined> {
  // As a floating-point number, one time in eight thousand is rounded up to the next millisecond.
  const stats = await handle.stat({ bigint: true });
  return stats.isFile() ? { size: Number(stats.size), modifiedMs: Number(stats.mtimeMs) } : undefined;
}

/**
 * Opens a regular file for reading; undefined when the path does not lead to one inside of `root`. The caller
 * closes the handle.
 */
export async function openWithin(root: string, path: string): Promise<OpenFile | undefined> {
  const real = await realPathWithin(root, path);
  if (real === undefined) return undefined;
  // A link put in the place of the file since then is refused, and a pipe does not wait for its writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await unlessMissing(open(real, flags));
  if (handle === undefined) return undefined;
  try {
    const found = await stateOf(handle);
    if (found !== undefined) return { handle, ...found };
  } catch (reason) {
    await handle.close();
    throw reason;
  }
  await handle.close();
  return undefined;
}
