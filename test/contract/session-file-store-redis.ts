import { Redis } from "ioredis";
import pino, { type Logger } from "pino";
import type { LeaseTerms } from "../../src/domain/session.ts";
import { RedisConnection } from "../../src/stores/redis/connection.ts";
import { RedisSessionFileStore } from "../../src/stores/redis/redis-session-file-store.ts";
import { RedisSessionStore } from "../../src/stores/redis/redis-session-store.ts";
import { eventually } from "../support/eventually.ts";
import type { OpenFileStoresWith } from "./session-file-store-stage.ts";
import { redisTime } from "./session-store-redis.ts";

/**
 * @param storeUrl what the stores are given
 * @param nodeUrl one Redis of it, whose clock is asked
 */
export function redisFileStores(storeUrl: string, nodeUrl = storeUrl): OpenFileStoresWith {
  return async (terms, otherTerms = terms) => {
    const [one, other] = await Promise.all([
      connectedFiles(storeUrl, terms),
      connectedFiles(storeUrl, otherTerms),
    ]);
    const node = new Redis(nodeUrl);
    return {
      one,
      other,
      now: () => redisTime(node),
      async close() {
        one.connection.close();
        other.connection.close();
        node.disconnect();
      },
    };
  };
}

/** Stores that have their connection. */
export async function connectedFiles(
  url: string,
  terms: LeaseTerms,
  log: Logger = pino({ level: "silent" }),
) {
  const connection = RedisConnection.open({ url, log });
  const sessions = new RedisSessionStore(connection, terms);
  const files = new RedisSessionFileStore(connection, terms);
  await eventually("Redis to answer", () => connection.ping().then(() => true));
  return { connection, sessions, files };
}
