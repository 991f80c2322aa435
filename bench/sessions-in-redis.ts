import { pino } from "pino";
import { RedisSessionStore } from "../src/stores/redis/redis-session-store.ts";
import { eventually } from "../test/support/eventually.ts";

export const owner = "anonymous";
export const leaseMs = 3_600_000;

/** Opens a store like the service's and waits until it responds. */
export async function openStore(redisUrl: string): Promise<RedisSessionStore> {
  const terms = { leaseMs, retentionMs: leaseMs };
  const store = RedisSessionStore.connect({ url: redisUrl, terms, log: pino({ level: "silent" }) });
  await eventually("Redis", () => store.ping().then(() => true));
  return store;
}

export async function createSessions(redisUrl: string, ids: readonly string[]): Promise<void> {
  const store = await openStore(redisUrl);
  for (const id of ids) {
    await store.create({ id, owner, libraryItemId: "photon", contentVersion: "0123456789abcdef" });
  }
  await store.close();
}
