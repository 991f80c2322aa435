import { setTimeout as delay } from "node:timers/promises";
import { vi } from "vitest";
import { openContentSource } from "../../src/content/open.ts";
import { eventually } from "../support/eventually.ts";
import { type S3Server, s3Credentials, startS3Server } from "../support/s3-server.ts";
import type { ContentStorage } from "./content-source-stage.ts";

/**
 * Libraries below a prefix of a bucket of the test's own, over HTTP.
 *
 * @param start starts a server that nobody else needs
 */
export async function s3Storage(start: () => Promise<S3Server> = startS3Server): Promise<ContentStorage> {
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
  return {
    warnings,
    open: () =>
      openContentSource({
        kind: "s3",
        bucket: bucket.name,
        prefix,
        endpoint: server.url,
        warn: (message) => warnings.push(message),
      }),
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
      await stop();
    },
  };
}
