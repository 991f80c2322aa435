import { Cluster, Redis, type RedisOptions } from "ioredis";
import { coalesceWrites } from "./coalesce-writes.ts";
import type { RedisClient } from "./run-script.ts";

/** Where Redis is, as told by a URL. */
export interface RedisTarget {
  readonly kind: "single" | "cluster" | "sentinel";
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
  /** Logical database; 0 on a cluster. */
  readonly db: number;
  /** Name of the master; sentinel only. */
  readonly master?: string;
}

const pattern = /^(rediss?)(?:\+(cluster|sentinel))?:\/\/(?:([^@/]*)@)?([^/?#]+)(?:\/([^?#]*))?$/;

/**
 * Reads `redis://`, `rediss://` (TLS), and either with `+cluster` or `+sentinel`:
 *
 * - `redis://[user:password@]host[:port][/db]`
 * - `redis+cluster://[user:password@]host:port,host:port,…`
 * - `redis+sentinel://[user:password@]host:port,…/master[/db]`, ports of the sentinels, credentials of the
 *   master
 *
 * @throws Error that says what is wrong, without the credentials
 */
export function parseRedisUrl(url: string): RedisTarget {
  const match = pattern.exec(url);
  if (match === null) {
    throw new Error(
      "must look like redis://host:port, rediss://…, redis+cluster://host:port,… or redis+sentinel://host:port,…/master",
    );
  }
  const [, scheme, variant, credentials, hosts = "", path = ""] = match;
  const kind = (variant ?? "single") as RedisTarget["kind"];
  const nodes = hosts.split(",").map((host) => parseHost(host, kind === "sentinel" ? 26379 : 6379));
  if (kind === "single" && nodes.length > 1)
    throw new Error("names several hosts; use redis+cluster:// for a cluster");
  const segments = path.split("/").filter((segment) => segment !== "");
  const master = kind === "sentinel" ? decode(segments.shift()) : undefined;
  if (kind === "sentinel" && !master)
    throw new Error("must end in the name of the master: redis+sentinel://host:port/master");
  if (kind === "cluster" && segments.length > 0)
    throw new Error("must not name a database: a cluster has only one");
  const db = segments[0] ?? "0";
  if (segments.length > 1 || !/^\d{1,5}$/.test(db))
    throw new Error("must end in the number of a database, as in redis://host/1");
  const colon = credentials?.indexOf(":") ?? -1;
  const username = decode(colon < 0 ? credentials : credentials?.slice(0, colon));
  const password = decode(colon < 0 ? undefined : credentials?.slice(colon + 1));
  return {
    kind,
    nodes,
    tls: scheme === "rediss",
    ...(username && { username }),
    ...(password && { password }),
    db: Number(db),
    ...(master && { master }),
  };
}

function parseHost(text: string, defaultPort: number): { host: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? defaultPort);
  if (match?.[1] === undefined || port < 1 || port > 65535)
    throw new Error(`has a bad host '${text}'; write host:port`);
  return { host: match[1].replace(/^\[|\]$/g, ""), port };
}

function decode(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    throw new Error("has credentials or a name that are not percent-encoded");
  }
}

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
