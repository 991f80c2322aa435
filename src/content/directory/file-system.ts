import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { sep } from "node:path";
import { ServiceError } from "../../domain/errors.ts";

/** ELOOP: links that lead nowhere; ENAMETOOLONG: no entry can have such a name; ENXIO: a socket. */
const missing = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO"]);

/** The result of a file system operation; undefined when what it works on does not exist (any more). */
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

/** Turns every error of the file system into a ServiceError `downlease.content.unavailable`. */
export async function orUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (reason) {
    if (!isSystemError(reason)) throw reason;
    throw new ServiceError("downlease.content.unavailable", [], reason);
  }
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
  /** Whole milliseconds since the epoch. */
  readonly modifiedMs: number;
}

/** Size and modification time of a regular file; undefined when the handle is of something else. */
export async function stateOf(handle: FileHandle): Promise<Omit<OpenFile, "handle"> | undefined> {
  // As a floating-point number, one time in eight thousand is rounded up to the next millisecond.
  const stats = await handle.stat({ bigint: true });
  return stats.isFile() ? { size: Number(stats.size), modifiedMs: Number(stats.mtimeMs) } : undefined;
}

/**
 * Opens a regular file for reading; undefined when the path does not lead to one inside of `root`. The caller closes
 * the handle.
 */
export async function openWithin(root: string, path: string): Promise<OpenFile | undefined> {
  const real = await realPathWithin(root, path);
  if (real === undefined) return undefined;
  // A link put in the place of the file since then is refused, and a pipe does not wait for its writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await unlessMissing(open(real, flags));
  if (handle === undefined) return undefined;
  try {
    const state = await stateOf(handle);
    if (state !== undefined) return { handle, ...state };
  } catch (reason) {
    await handle.close();
    throw reason;
  }
  await handle.close();
  return undefined;
}

/**
 * Resolution of modification times, in milliseconds. They advance with the kernel's tick, 10 ms at most, so two changes
 * within one tick leave the same time.
 */
export const tickMs = 20;

/**
 * Whether a file or folder with this modification time may be modified once more and keep it. The difference may have
 * either sign: a clock of the file system that is far ahead must not keep anything unsettled for good.
 *
 * @param modifiedMs milliseconds since the epoch
 */
export function isUnsettled(modifiedMs: number): boolean {
  return Math.abs(Date.now() - modifiedMs) < tickMs;
}
