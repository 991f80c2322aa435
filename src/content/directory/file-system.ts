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
