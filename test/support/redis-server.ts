import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
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
}

/** Starts a redis-server; resolves when it answers. */
export function startRedis({ appendonly = false, args = [] }: RedisOptions = {}): Promise<RedisServer> {
  // By default Redis may hold a write back for up to two seconds while the disk is busy; a kill would lose it.
  const persistence = ["--save", "", "--appendonly", appendonly ? "yes" : "no", "--appendfsync", "always"];
  return onFreePorts(() => start(async () => [...persistence, ...args]));
}

export interface RedisCluster extends AsyncDisposable {
  /** `redis+cluster://host:port,host:port,…` */
  readonly url: string;
  readonly nodes: readonly RedisServer[];
  stop(): Promise<void>;
}

const slots = 16_384;

/** Starts a Redis Cluster of masters; resolves when every node knows all slots to be served. */
export async function startCluster(size = 3): Promise<RedisCluster> {
  const starting = Array.from({ length: size }, async () => {
    const busPort = await freePort();
    const args = ["--cluster-enabled", "yes", "--cluster-port", String(busPort)];
    return { busPort, server: await startRedis({ args }) };
  });
  const nodes = await Promise.all(starting);
  const [first] = nodes;
  for (const [index, { server }] of nodes.entries()) {
    const from = Math.ceil((slots * index) / size);
    const to = Math.ceil((slots * (index + 1)) / size) - 1;
    await command(server.port, "CLUSTER", "SET-CONFIG-EPOCH", index + 1);
    await command(server.port, "CLUSTER", "ADDSLOTSRANGE", from, to);
  }
  for (const { server, busPort } of nodes.slice(1)) {
    await command(first!.server.port, "CLUSTER", "MEET", "127.0.0.1", server.port, busPort);
  }
  const servers = nodes.map(({ server }) => server);
  for (const { port } of servers) {
    await eventually(
      `the cluster node on port ${port} to see the whole cluster`,
      async () => {
        const info = String(await command(port, "CLUSTER", "INFO"));
        return info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${size}`);
      },
      { withinMs: 15_000 },
    );
  }
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  const hosts = servers.map(({ port }) => `127.0.0.1:${port}`).join(",");
  return { url: `redis+cluster://${hosts}`, nodes: servers, stop, [Symbol.asyncDispose]: stop };
}

export interface RedisSentinel extends AsyncDisposable {
  /** `redis+sentinel://host:port/downlease`; `downlease` is the master's name. */
  readonly url: string;
  readonly master: RedisServer;
  stop(): Promise<void>;
}

/** Starts a Redis and one Sentinel that knows where it is. */
export async function startSentinel(): Promise<RedisSentinel> {
  const master = await startRedis();
  const sentinel = await onFreePorts(() =>
    start(async (directory) => {
      const config = join(directory, "sentinel.conf");
      await writeFile(config, `sentinel monitor downlease 127.0.0.1 ${master.port} 1\n`);
      return [config, "--sentinel"];
    }),
  );
  const stop = async () => void (await Promise.all([sentinel.stop(), master.stop()]));
  const url = `redis+sentinel://127.0.0.1:${sentinel.port}/downlease`;
  return { url, master, stop, [Symbol.asyncDispose]: stop };
}

async function start(argsFor: (directory: string) => Promise<readonly string[]>): Promise<RedisServer> {
  const directory = await tempDir();
  const port = await freePort();
  const network = ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory.path];
  const args = [...(await argsFor(directory.path)), ...network];
  let server: Process;
  try {
    server = await launch(port, args, directory.path);
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
      server = await launch(port, args, directory.path);
    },
    pause: () => server.signal("SIGSTOP"),
    resume: () => server.signal("SIGCONT"),
    [Symbol.asyncDispose]: stop,
  };
}

async function launch(port: number, args: readonly string[], scratch: string): Promise<Process> {
  const server = await startProcess("redis-server", args, { scratch });
  await eventually(
    `redis-server on port ${port}`,
    async () => server.exit !== undefined || (await processIdBehind(port)) === server.pid,
    { withinMs: 10_000 },
  );
  if (server.exit !== undefined)
    throw new Error(`redis-server did not start: ${server.stdout}${server.stderr}`);
  return server;
}

/** An answer on a port does not say who gives it: another run may have taken the port first. */
async function processIdBehind(port: number): Promise<number> {
  await command(port, "PING");
  const info = String(await command(port, "INFO", "server"));
  return Number(/^process_id:(\d+)/m.exec(info)?.[1]);
}

async function command(port: number, name: string, ...args: (string | number)[]): Promise<unknown> {
  const redis = new Redis(port, "127.0.0.1", { lazyConnect: true, retryStrategy: () => null });
  // Without a listener ioredis prints; the rejection of the call says the same.
  redis.on("error", () => {});
  try {
    await redis.connect();
    return await redis.call(name, ...args);
  } finally {
    redis.disconnect();
  }
}
