/** The servers that a URL names. */
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

const pattern = /^(rediss?)(?:\+(cluster|sentinel))?:\/\/(?:(.*)@)?([^/?#@]+)(?:\/([^?#@]*))?$/s;

/** Characters that would end the credentials, or the host, at the wrong place. */
const reserved = /[@/?#]/;

/**
 * Reads `redis://`, `rediss://` (TLS), and either with `+cluster` or `+sentinel`:
 *
 * - `redis://[user:password@]host[:port][/db]`
 * - `redis+cluster://[user:password@]host:port,host:port,…`
 * - `redis+sentinel://[user:password@]host:port,…/master[/db]`, ports of the sentinels, credentials of the
 *   master
 *
 * @throws Error that says what is wrong; it quotes nothing, because any part may be one of a password
 */
export function parseRedisUrl(url: string): RedisTarget {
  // Up to the last @, which no host has: then nothing of a password is taken for a host, and shown.
  if (reserved.test(url.slice(url.indexOf("://") + 3, Math.max(0, url.lastIndexOf("@"))))) {
    throw new Error("has one of @ / ? # in its user or password; write %40 %2F %3F %23 instead");
  }
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
    throw new Error("has a bad host; write host:port");
  return { host: match[1].replace(/^\[|\]$/g, ""), port };
}

function decode(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    throw new Error("has credentials or a name that are not percent-encoded");
  }
}
