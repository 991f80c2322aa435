import { Cluster, Redis, type RedisOptions } from "ioredis";
import { coalesceWrites, handleAsking } from "./ioredis-internals.ts";
import { commandTimeoutMs, connectTimeoutMs, isFailover, reconnectDelayMs } from "./reconnect-policy.ts";
import type { RedisClient } from "./run-script.ts";
import type { RedisTarget } from "./url.ts";

/**
 * Opens the connection in the background. While there is none, commands fail at once, so that a caller gets UNAVAILABLE
 * in well under a second and nothing is sent late.
 */
export function connectRedis(target: RedisTarget): RedisClient {
  const options = {
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
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
        clusterRetryStrategy: reconnectDelayMs,
        // With 100 ms between them, all redirections together end before the command times out.
        maxRedirections: 6,
        slotsRefreshTimeout: connectTimeoutMs,
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
          sentinelRetryStrategy: reconnectDelayMs,
          retryStrategy: reconnectDelayMs,
          enableOfflineQueue: false,
          enableTLSForSentinelMode: target.tls,
          // After a failover the old master is a replica: reconnect to find the new one.
          reconnectOnError: isFailover,
        }),
      );
    case "single":
      return coalesceWrites(
        new Redis({
          ...options,
          ...target.nodes[0],
          db: target.db,
          retryStrategy: reconnectDelayMs,
          enableOfflineQueue: false,
        }),
      );
  }
}
