import type { Times } from "../domain/content-source.ts";

/** What file systems can tell of a time goes further than what RFC 3339 can write. */
const latestMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * When a thing was made and last changed, as far as the modification times of what belongs to it tell. Nothing else
 * is the same for every replica: not every file system keeps the time of a file's birth, and no copy does.
 *
 * @param modifiedMs at least one, in milliseconds since the epoch
 */
export function timesOf(modifiedMs: Iterable<number>): Times {
  let [createdAt, modifiedAt] = [latestMs, 0];
  for (const ms of modifiedMs) {
    createdAt = Math.min(createdAt, Math.max(ms, 0));
    modifiedAt = Math.max(modifiedAt, Math.min(ms, latestMs));
  }
  return { createdAt, modifiedAt };
}
