import { constants } from "node:fs";
import { access, lstat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Finding, ok, warning } from "../../domain/finding.ts";
import { ownFolderName, requireOwn } from "./cache-directory.ts";
import type { CacheOptions } from "./cached-content-source.ts";

/** Looks at a cache directory without making it or changing it. Rejects with what is wrong. */
export async function inspectCache({ path, limit }: CacheOptions): Promise<Finding[]> {
  const place = await nearest(resolve(path));
  await access(place, constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw new Error(`the cache directory ${path} can't be used: ${place} can't be written to`, { cause });
  });
  const { bavail, bsize } = await statfs(place);
  const usable = ok("cache", `${path} can be used`);
  const isNew = place !== resolve(join(path, ownFolderName));
  if (!isNew || limit <= bavail * bsize) return [usable];
  const room =
    "the disk has less room than --cache-bytes; a cache that fills the disk goes on without caching";
  return [usable, warning("cache", `${path}: ${room}`)];
}

/** The folder of the cache, or what exists of the path to it. */
async function nearest(path: string): Promise<string> {
  const own = join(path, ownFolderName);
  if ((await lstat(own).catch(() => undefined)) !== undefined) {
    await requireOwn(own);
    return own;
  }
  for (let place = path; ; place = dirname(place)) {
    const stats = await lstat(place).catch(() => undefined);
    if (stats !== undefined || place === dirname(place)) return place;
  }
}
