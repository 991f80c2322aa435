import { Cluster, Redis, type RedisOptions } from "ioredis";
import { type Address, Connector } from "./connector.ts";
import { replaceWhenSilent } from "./heartbeat.ts";
import { coalesceWrites, handleAsking } from "./ioredis-internals.ts";
import {
  commandTimeoutMs,
  connectTimeoutMs,
  disconnectTimeoutMs,
  maxLoadingDelayMs,
  ReconnectPolicy,
  reconnectDelayMs,
} from "./reconnect-policy.ts";
import type { RedisClient } from "./run-script.ts";
import { connectorToMaster, Sentinels } from "./sentinels.ts";
import type { RedisTarget } from "./url.ts";

/** What a connection needs besides its URL. */
export interface RedisCredentials {
  /** PEM: the authorities that servers are checked against, and the certificate to show them. */
  readonly tls?: {
    readonly ca?: Buffer | undefined;
    readonly cert?: Buffer | undefined;
    readonly key?: Buffer | undefined;
  };
  /** Of the sentinels, which have credentials of their own. */
  readonly sentinel?: { readonly username?: string | undefined; readonly password?: string | undefined };
}

/**
 * Opens the connection in the background. While there is none, commands fail at once, so that a caller gets UNAVAILABLE
 * in well under a second and nothing is sent late.
 */
export function connectRedis(target: RedisTarget, credentials: RedisCredentials = {}): RedisClient {
  const { reconnectOnError, retryStrategy } = new ReconnectPolicy();
  const common = {
    Connector: Connector as never,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectionName: "downlease",
    ...(target.tls && { tls: tlsOptions(credentials) }),
  };
  const options = {
    ...common,
    maxLoadingRetryTime: maxLoadingDelayMs,
    reconnectOnError,
    ...(target.username && { username: target.username }),
    ...(target.password && { password: target.password }),
  } satisfies RedisOptions;
  switch (target.kind) {
    case "cluster":
      return new Cluster([...target.nodes], {
        redisOptions: options,
        enableOfflineQueue: false,
        clusterRetryStrategy: reconnectDelayMs,
        // With 100 ms between them, all redirections together end before the command times out.
        maxRedirections: 6,
        slotsRefreshTimeout: commandTimeoutMs,
      }).on("+node", (node: Redis) => {
        handleAsking(watched(node));
      });
    case "sentinel": {
      const { username, password } = credentials.sentinel ?? {};
      const open = (address: Address) =>
        new Redis({
          ...common,
          ...(username !== undefined && { username }),
          ...(password !== undefined && { password }),
          ...address,
          // Maps are read as lists.
          protocol: 2,
          // Until it has been connected once, and never longer than a command takes.
          enableOfflineQueue: true,
          enableReadyCheck: false,
          retryStrategy: reconnectDelayMs,
        });
      const sentinels = new Sentinels(target.master ?? "", target.nodes, open);
      const Connector = connectorToMaster(sentinels) as never;
      return sentinels.follow(watched(new Redis({ ...options, Connector, db: target.db, retryStrategy })));
    }
    case "single":
      return watched(new Redis({ ...options, ...target.nodes[0], db: target.db, retryStrategy }));
  }
}

function watched(redis: Redis): Redis {
  return replaceWhenSilent(coalesceWrites(redis));
}

function tlsOptions({ tls: { ca, cert, key } = {} }: RedisCredentials) {
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}
