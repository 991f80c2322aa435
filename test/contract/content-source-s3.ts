import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { vi } from "vitest";
import { openContentSource } from "../../src/content/open.ts";
import { eventually } from "../support/eventually.ts";
import { type S3Server, s3Credentials, startS3Server } from "../support/s3-server.ts";
import { tempDir } from "../support/temp-dir.ts";
import type { ContentStorage } from "./content-source-stage.ts";

/** As `s3Storage`; files are read through a cache. */
export async function cachedS3Storage(): Promise<ContentStorage> {
  const directory = await tempDir();
  const storage = await s3Storage(startS3Server, join(directory.path, "cache"));
  return {
    ...storage,
    keepsVersions: true,
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]();
      await directory.remove();
    },
  };
}

/**
 * Libraries below a prefix of a bucket of the test's own, over HTTP.
 *
 * @param start starts a server that nobody else needs
 * @param cachePath directory of a cache, if there is to be one
 */
export async function s3Storage(
  start: () => Promise<S3Server> = startS3Server,
  cachePath?: string,
): Promise<ContentStorage> {
  for (const [name, value] of Object.entries(s3Credentials)) vi.stubEnv(name, value);
  const server = await start();
  const bucket = await server.bucket();
  const prefix = "images/";
  const warnings: string[] = [];
  let isUp = true;
  const stop = async () => {
    if (isUp) await server.stop();
    isUp = false;
  };
  let last = 0;
  const opened = new AsyncDisposableStack();
  return {
    warnings,
    async open() {
      const source = await openContentSource({
        kind: "s3",
        bucket: bucket.name,
        prefix,
        endpoint: server.url,
        warn: (message) => warnings.push(message),
        ...(cachePath !== undefined && { cache: { path: cachePath, limit: 1e9 } }),
      });
      opened.defer(() => source[Symbol.asyncDispose]?.());
      return source;
    },
    async put(path, content) {
      // The server stamps objects with milliseconds.
      while (Date.now() <= last) await delay(1);
      await bucket.put(prefix + path, content);
      last = Date.now();
    },
    remove: (path) =>
      path.split("/").length === 3 ? bucket.remove(prefix + path) : bucket.removeBelow(`${prefix + path}/`),
    breakDown: stop,
    noticesAtOnce: false,
    recordsRemovals: false,
    noticed: (expectations) =>
      eventually(
        "the change to be noticed",
        async () => {
          await expectations();
          return true;
        },
        { withinMs: 15_000 },
      ),
    async [Symbol.asyncDispose]() {
      vi.unstubAllEnvs();
      await opened[Symbol.asyncDispose]();
      await stop();
    },
  };
}
