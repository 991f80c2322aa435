import { Redis } from "ioredis";
import pino, { type Logger } from "pino";
import type { LoginTerms } from "../../src/domain/login-store.ts";
import { RedisConnection } from "../../src/stores/redis/connection.ts";
import { RedisLoginStore } from "../../src/stores/redis/redis-login-store.ts";
import { eventually } from "../support/eventually.ts";
import type { OpenLoginStoresWith } from "./login-store-stage.ts";
import { redisTime } from "./session-store-redis.ts";

/**
 * @param storeUrl what the stores are given
 * @param nodeUrl one Redis of it, whose clock is asked
 */
export function redisLoginStores(storeUrl: string, nodeUrl = storeUrl): OpenLoginStoresWith {
  return async (terms, secondTerms = terms) => {
    const [one, other] = await Promise.all([
      connectedLogins(storeUrl, terms),
      connectedLogins(storeUrl, secondTerms),
    ]);
    const node = new Redis(nodeUrl);
    return {
      store: one.store,
      second: other.store,
      now: () => redisTime(node),
      async close() {
        one.connection.close();
        other.connection.close();
        node.disconnect();
      },
    };
  };
}

/** A store that has its connection, and hears revocations. */
export async function connectedLogins(
  url: string,
  terms: LoginTerms,
  log: Logger = pino({ level: "silent" }),
) {
  const connection = RedisConnection.open({ url, log });
  const store = new RedisLoginStore(connection, terms);
  await eventually("Redis to answer", () => connection.ping().then(() => true));
  await eventually("revocations to be heard", () => store.isCacheUsable);
  return { connection, store };
}
