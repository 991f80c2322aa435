import { Redis } from "ioredis";
import pino from "pino";
import type { LeaseTerms } from "../../src/domain/session.ts";
import { RedisSessionStore } from "../../src/stores/redis/redis-session-store.ts";
import { eventually } from "../support/eventually.ts";
import type { OpenStoresWith } from "./session-store-stage.ts";

/**
 * @param storeUrl what the stores are given
 * @param nodeUrl one Redis of it, whose clock is asked
 */
export function redisStores(storeUrl: string, nodeUrl = storeUrl): OpenStoresWith {
  return async (terms, secondTerms = terms) => {
    const [store, second] = await Promise.all([connected(storeUrl, terms), connected(storeUrl, secondTerms)]);
    const node = new Redis(nodeUrl);
    return {
      store,
      second,
      now: () => redisTime(node),
      async close() {
        await Promise.all([store.close(), second.close()]);
        node.disconnect();
      },
    };
  };
}

/** A store that has its connection. */
export async function connected(url: string, terms: LeaseTerms): Promise<RedisSessionStore> {
  const store = RedisSessionStore.connect({ url, terms, log: pino({ level: "silent" }) });
  await eventually("Redis to answer", () => store.ping().then(() => true));
  return store;
}

/** Milliseconds since the epoch by the clock of a Redis. */
export async function redisTime(node: Redis): Promise<number> {
  const [seconds, microseconds] = await node.time();
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}
