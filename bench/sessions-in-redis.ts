import { pino } from "pino";
import { RedisBackend } from "../src/stores/redis/backend.ts";
import { eventually } from "../test/support/eventually.ts";

export const owner = "anonymous";
export const leaseMs = 3_600_000;

/** Opens a backend like the service's and waits until it responds. */
export async function openRedis(redisUrl: string): Promise<RedisBackend> {
  const backend = new RedisBackend(redisUrl, {
    leaseTerms: { leaseMs, retentionMs: leaseMs },
    loginTerms: { idleMs: leaseMs, lifetimeMs: leaseMs },
    log: pino({ level: "silent" }),
  });
  await eventually("Redis", () => backend.probe().then(() => true));
  return backend;
}

export async function createSessions(redisUrl: string, ids: readonly string[]): Promise<void> {
  await using backend = await openRedis(redisUrl);
  for (const id of ids) {
    await backend.sessions.create({
      id,
      owner,
      libraryItemId: "photon",
      contentVersion: "0123456789abcdef",
    });
  }
}
