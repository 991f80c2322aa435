import { Cluster, Redis, type RedisOptions } from "ioredis";
import { coalesceWrites } from "./coalesce-writes.ts";
import type { RedisClient } from "./run-script.ts";
import type { RedisTarget } from "./url.ts";

/** A command without an answer after this time has failed; callers are promised an answer within a second. */
export const commandTimeout = 800;
/** A Redis that comes back is noticed this fast, at most. */
export const reconnectDelay = (attempt: number) => Math.min(attempt * 20, 200);

/**
 * Opens the connection in the background. Commands fail at once while there is none: a caller is told
 * UNAVAILABLE in well under a second, and nothing is sent late.
 */
export function connectRedis(target: RedisTarget): RedisClient {
  const options = {
    commandTimeout,
    connectTimeout: 2000,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectionName: "downlease",
    ...(target.username && { username: target.username }),
    ...(target.password && { password: target.password }),
    ...(target.tls && { tls: {} }),
  } satisfies RedisOptions;
  switch (target.kind) {
    case "cluster":
      return new Cluster([...target.nodes], {
        redisOptions: options,
        enableOfflineQueue: false,
        clusterRetryStrategy: reconnectDelay,
        // With 100 ms between them, all redirections together end before the command times out.
        maxRedirections: 6,
        slotsRefreshTimeout: 2000,
      }).on("+node", (node: Redis) => {
        coalesceWrites(node);
        handleAsking(node);
      });
    case "sentinel":
      return coalesceWrites(
        new Redis({
          ...options,
          db: target.db,
          name: target.master ?? "",
          sentinels: [...target.nodes],
          sentinelRetryStrategy: reconnectDelay,
          retryStrategy: reconnectDelay,
          enableOfflineQueue: false,
          enableTLSForSentinelMode: target.tls,
          // After a failover the old master is a replica: reconnect to find the new one.
          reconnectOnError: (error) => error.message.startsWith("READONLY"),
        }),
      );
    case "single":
      return coalesceWrites(
        new Redis({
          ...options,
          ...target.nodes[0],
          db: target.db,
          retryStrategy: reconnectDelay,
          enableOfflineQueue: false,
        }),
      );
  }
}

/**
 * ioredis sends ASKING ahead of a command that follows a moving slot, and drops its promise. When the node dies at
 * that moment the rejection has no handler, which would end this process; the command itself fails as it should.
 */
function handleAsking(node: Redis): void {
  const asking = node.asking.bind(node);
  node.asking = () => {
    const sent = asking();
    sent.catch(() => {});
    return sent;
  };
}
