import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { Certificate } from "./certificates.ts";
import { eventually } from "./eventually.ts";
import { freePort, onFreePorts } from "./ports.ts";
import { type Process, startProcess } from "./process.ts";
import { tempDir } from "./temp-dir.ts";

/** A redis-server of the test's own, on a loopback port and in a directory of its own. */
export interface RedisServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Changes with a restart. */
  readonly pid: number;
  /** Ends it and removes its directory. */
  stop(): Promise<void>;
  /** Ends it as a crash would (SIGKILL); `restart` brings it back. */
  kill(): Promise<void>;
  /** Starts it again on the same port, after a crash if it still runs; with its data if it is `appendonly`. */
  restart(): Promise<void>;
  /** Lets it hang: connections stay open and nothing is answered. */
  pause(): void;
  resume(): void;
}

export interface RedisOptions {
  /** Keep data across a restart. */
  readonly appendonly?: boolean;
  /** More arguments for redis-server, for example `["--maxmemory-policy", "allkeys-lru"]`. */
  readonly args?: readonly string[];
  readonly access?: RedisAccess;
}

/** What a client needs to be let in. */
export interface RedisAccess {
  /** Of the default user. */
  readonly password?: string;
  /** Serve TLS only. */
  readonly tls?: RedisTls;
}

export interface RedisTls {
  readonly ca: Certificate;
  readonly server: Certificate;
  /** Signed by `ca`. */
  readonly client: Certificate;
}

/** Starts a redis-server; resolves when it answers. */
export function startRedis({
  appendonly = false,
  args = [],
  access,
}: RedisOptions = {}): Promise<RedisServer> {
  // By default Redis may hold a write back for up to two seconds while the disk is busy; a kill would lose it.
  const persistence = ["--save", "", "--appendonly", appendonly ? "yes" : "no", "--appendfsync", "always"];
  return onFreePorts(() => start(async () => [...persistence, ...accessArgs(access), ...args], access));
}

function accessArgs({ password, tls }: RedisAccess = {}): string[] {
  return [
    ...(password === undefined ? [] : ["--requirepass", password, "--masterauth", password]),
    ...(tls === undefined ? [] : tlsArgs(tls)),
  ];
}

/** Client certificates are demanded. */
function tlsArgs({ ca, server }: RedisTls): string[] {
  const files = [
    "--tls-cert-file",
    server.path,
    "--tls-key-file",
    server.keyPath,
    "--tls-ca-cert-file",
    ca.path,
  ];
  return [...files, "--tls-replication", "yes", "--tls-auth-clients", "yes"];
}

export interface RedisCluster extends AsyncDisposable {
  /** `redis+cluster://host:port,host:port,…`; the masters of the start. */
  readonly url: string;
  /** The masters of the start. */
  readonly nodes: readonly RedisServer[];
  stop(): Promise<void>;
}

const slots = 16_384;

export interface ClusterOptions {
  /** Give each master a replica that takes its place when it has been silent for about two seconds. */
  readonly hasReplicas?: boolean;
}

/** Starts a Redis Cluster of masters; resolves when every node knows all slots to be served. */
export async function startCluster(
  size = 3,
  { hasReplicas = false }: ClusterOptions = {},
): Promise<RedisCluster> {
  const count = hasReplicas ? 2 * size : size;
  const starting = Array.from({ length: count }, async () => {
    const busPort = await freePort();
    const args = ["--cluster-enabled", "yes", "--cluster-port", String(busPort)];
    if (hasReplicas) args.push("--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0");
    return { busPort, server: await startRedis({ args }) };
  });
  const all = await Promise.all(starting);
  const nodes = all.slice(0, size);
  const [first] = nodes;
  for (const [index, { server }] of nodes.entries()) {
    const from = Math.ceil((slots * index) / size);
    const to = Math.ceil((slots * (index + 1)) / size) - 1;
    await command(server.port, ["CLUSTER", "SET-CONFIG-EPOCH", index + 1]);
    await command(server.port, ["CLUSTER", "ADDSLOTSRANGE", from, to]);
  }
  for (const { server, busPort } of all.slice(1)) {
    await command(first!.server.port, ["CLUSTER", "MEET", "127.0.0.1", server.port, busPort]);
  }
  const servers = all.map(({ server }) => server);
  for (const { port } of servers) {
    await eventually(
      `the cluster node on port ${port} to see the whole cluster`,
      async () => {
        const info = String(await command(port, ["CLUSTER", "INFO"]));
        return info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${count}`);
      },
      { withinMs: 15_000 },
    );
  }
  for (const [index, { port }] of servers.slice(size).entries()) {
    const master = String(await command(servers[index]!.port, ["CLUSTER", "MYID"]));
    await command(port, ["CLUSTER", "REPLICATE", master]);
    await eventually(
      `the replica on port ${port} to have its master's data`,
      async () => String(await command(port, ["INFO", "replication"])).includes("master_link_status:up"),
      { withinMs: 15_000 },
    );
  }
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  const hosts = nodes.map(({ server }) => `127.0.0.1:${server.port}`).join(",");
  return {
    url: `redis+cluster://${hosts}`,
    nodes: servers.slice(0, size),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

export interface RedisSentinel extends AsyncDisposable {
  /** `redis+sentinel://host:port,…/downlease`; `downlease` is the master's name. */
  readonly url: string;
  /** The master of the start. */
  readonly master: RedisServer;
  readonly replicas: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  /** Port of the master that the first sentinel names. */
  masterPort(): Promise<number>;
  /** Makes the replica the master, as an operator does. */
  failover(): Promise<void>;
  stop(): Promise<void>;
}

export interface SentinelOptions {
  /** Replicas of the master, which is replaced when it has been silent for a second. */
  readonly replicas?: number;
  /** A majority of them has to agree. */
  readonly sentinels?: number;
  /** Of the servers. */
  readonly access?: RedisAccess;
  /** Of the sentinels. */
  readonly sentinelPassword?: string;
}

/** Starts a Redis, replicas, and Sentinels that know where they are. */
export async function startSentinel({
  replicas: replicaCount = 0,
  sentinels: sentinelCount = 1,
  access = {},
  sentinelPassword,
}: SentinelOptions = {}): Promise<RedisSentinel> {
  const replication = ["--repl-diskless-sync-delay", "0"];
  const master = await startRedis({ access, args: replication });
  const replicaArgs = [...replication, "--replicaof", "127.0.0.1", String(master.port)];
  const replicas = await Promise.all(
    Array.from({ length: replicaCount }, () => startRedis({ access, args: replicaArgs })),
  );
  const { password, tls } = access;
  const quorum = Math.floor(sentinelCount / 2) + 1;
  const lines = [
    `sentinel monitor downlease 127.0.0.1 ${master.port} ${quorum}`,
    "sentinel down-after-milliseconds downlease 1000",
    "sentinel failover-timeout downlease 5000",
    ...(password === undefined ? [] : [`sentinel auth-pass downlease ${password}`]),
    ...(sentinelPassword === undefined
      ? []
      : [`requirepass ${sentinelPassword}`, `sentinel sentinel-pass ${sentinelPassword}`]),
  ];
  const sentinelAccess = {
    ...(sentinelPassword !== undefined && { password: sentinelPassword }),
    ...(tls !== undefined && { tls }),
  };
  const startOne = () =>
    start(async (directory) => {
      const config = join(directory, "sentinel.conf");
      await writeFile(config, `${lines.join("\n")}\n`);
      return [config, "--sentinel", ...(tls === undefined ? [] : tlsArgs(tls))];
    }, sentinelAccess);
  const sentinels = await Promise.all(Array.from({ length: sentinelCount }, () => onFreePorts(startOne)));
  const ask = (...words: [string, ...string[]]) => command(sentinels[0]!.port, words, sentinelAccess);
  const masterPort = async () => {
    const [, port] = (await ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "downlease")) as string[];
    return Number(port);
  };
  await eventually(
    "the sentinel to know all others and the replicas",
    async () => {
      const found = (await ask("SENTINEL", "REPLICAS", "downlease")) as string[][];
      const others = (await ask("SENTINEL", "SENTINELS", "downlease")) as unknown[];
      const linked = found.filter((replica) => replica[replica.indexOf("master-link-status") + 1] === "ok");
      return linked.length === replicaCount && others.length === sentinelCount - 1;
    },
    { withinMs: 20_000, everyMs: 100 },
  );
  const all = [...sentinels, ...replicas, master];
  const stop = async () => void (await Promise.all(all.map((server) => server.stop())));
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const url = `redis+sentinel://${hosts}/downlease`;
  const failover = async () => void (await ask("SENTINEL", "FAILOVER", "downlease"));
  return { url, master, replicas, sentinels, masterPort, failover, stop, [Symbol.asyncDispose]: stop };
}

async function start(
  argsFor: (directory: string) => Promise<readonly string[]>,
  access: RedisAccess = {},
): Promise<RedisServer> {
  const directory = await tempDir();
  const port = await freePort();
  const ports =
    access.tls === undefined ? ["--port", String(port)] : ["--port", "0", "--tls-port", String(port)];
  const network = [...ports, "--bind", "127.0.0.1", "--dir", directory.path];
  const args = [...(await argsFor(directory.path)), ...network];
  let server: Process;
  try {
    server = await launch(port, args, directory.path, access);
  } catch (error) {
    await directory.remove();
    throw error;
  }
  const stop = async () => {
    await server.kill();
    await directory.remove();
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return server.pid;
    },
    stop,
    kill: () => server.kill(),
    async restart() {
      await server.kill();
      server = await launch(port, args, directory.path, access);
    },
    pause: () => server.signal("SIGSTOP"),
    resume: () => server.signal("SIGCONT"),
    [Symbol.asyncDispose]: stop,
  };
}

async function launch(
  port: number,
  args: readonly string[],
  scratch: string,
  access: RedisAccess,
): Promise<Process> {
  const server = await startProcess("redis-server", args, { scratch });
  await eventually(
    `redis-server on port ${port}`,
    async () => server.exit !== undefined || (await processIdBehind(port, access)) === server.pid,
    { withinMs: 10_000 },
  );
  if (server.exit !== undefined)
    throw new Error(`redis-server did not start: ${server.stdout}${server.stderr}`);
  return server;
}

/** An answer on a port does not say who gives it: another run may have taken the port first. */
async function processIdBehind(port: number, access: RedisAccess): Promise<number> {
  await command(port, ["PING"], access);
  const info = String(await command(port, ["INFO", "server"], access));
  return Number(/^process_id:(\d+)/m.exec(info)?.[1]);
}

async function command(
  port: number,
  [name, ...args]: readonly [string, ...(string | number)[]],
  { password, tls }: RedisAccess = {},
): Promise<unknown> {
  const redis = new Redis(port, "127.0.0.1", {
    lazyConnect: true,
    retryStrategy: () => null,
    protocol: 2,
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls: { ca: tls.ca.cert, cert: tls.client.cert, key: tls.client.key } }),
  });
  // Without a listener ioredis prints; the rejection of the call says the same.
  redis.on("error", () => {});
  try {
    await redis.connect();
    return await redis.call(name, ...args);
  } finally {
    redis.disconnect();
  }
}
