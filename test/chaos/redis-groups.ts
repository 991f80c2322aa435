import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "../support/eventually.ts";
import { freePort, onFreePorts } from "../support/ports.ts";
import { startProcess } from "../support/process.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { tempDir } from "../support/temp-dir.ts";

/** For servers to find each other, on a busy machine. */
const patience = { withinMs: 30_000, everyMs: 100 };

/** Several Redis servers that are one store. */
export interface RedisGroup {
  /** What the service is given. */
  readonly url: string;
  readonly servers: readonly RedisServer[];
}

export interface SentinelGroup extends RedisGroup {
  /** The server that the sentinels call master. */
  master(): Promise<RedisServer>;
}

const masterName = "downlease";

/** A master with two replicas, and three sentinels that agree after 1.5 s that it is down. */
export async function startSentinels(stack: AsyncDisposableStack): Promise<SentinelGroup> {
  const first = stack.use(await startRedis());
  const args = ["--replicaof", "127.0.0.1", String(first.port)];
  const replicas = await Promise.all([startRedis({ args }), startRedis({ args })]);
  for (const replica of replicas) stack.use(replica);
  const servers = [first, ...replicas];
  for (const replica of replicas) await replicaIsInSync(replica);
  const sentinels = await Promise.all(Array.from({ length: 3 }, () => startSentinel(stack, first.port)));
  for (const port of sentinels) {
    await eventually(
      "a sentinel to know the others and the replicas",
      async () => {
        const fields = record(await command(port, "SENTINEL", "MASTER", masterName));
        return fields["num-other-sentinels"] === "2" && fields["num-slaves"] === "2";
      },
      patience,
    );
  }
  const hosts = sentinels.map((port) => `127.0.0.1:${port}`).join(",");
  return {
    url: `redis+sentinel://${hosts}/${masterName}`,
    servers,
    async master() {
      const [, port] = (await command(
        sentinels[0]!,
        "SENTINEL",
        "GET-MASTER-ADDR-BY-NAME",
        masterName,
      )) as string[];
      return servers.find((server) => server.port === Number(port))!;
    },
  };
}

function startSentinel(stack: AsyncDisposableStack, masterPort: number): Promise<number> {
  return onFreePorts(async () => {
    const directory = await tempDir();
    const port = await freePort();
    const config = join(directory.path, "sentinel.conf");
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${directory.path}`,
      `sentinel monitor ${masterName} 127.0.0.1 ${masterPort} 2`,
      `sentinel down-after-milliseconds ${masterName} 1500`,
      `sentinel failover-timeout ${masterName} 5000`,
    ];
    await writeFile(config, `${lines.join("\n")}\n`);
    const sentinel = await startProcess("redis-server", [config, "--sentinel"], { scratch: directory.path });
    stack.defer(async () => {
      await sentinel.kill();
      await directory.remove();
    });
    await eventually(
      "a sentinel",
      async () => sentinel.exit !== undefined || command(port, "PING"),
      patience,
    );
    if (sentinel.exit !== undefined)
      throw new Error(`redis-server --sentinel did not start: ${sentinel.stdout}`);
    return port;
  });
}

const slots = 16_384;

export interface ClusterGroup extends RedisGroup {
  readonly masters: readonly RedisServer[];
  /** The replica of the master of the same place. */
  readonly replicas: readonly RedisServer[];
}

/** A Cluster of three masters with a replica each, whose nodes count as failed after 2 s. */
export async function startClusterWithReplicas(stack: AsyncDisposableStack): Promise<ClusterGroup> {
  const nodes = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const busPort = await freePort();
      const args = [
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        String(busPort),
        "--cluster-node-timeout",
        "2000",
      ];
      return { busPort, server: await startRedis({ args }) };
    }),
  );
  for (const { server } of nodes) stack.use(server);
  const servers = nodes.map(({ server }) => server);
  const [masters, replicas] = [servers.slice(0, 3), servers.slice(3)];
  for (const [index, { port }] of servers.entries())
    await command(port, "CLUSTER", "SET-CONFIG-EPOCH", index + 1);
  for (const [index, { port }] of masters.entries()) {
    const [from, to] = [Math.ceil((slots * index) / 3), Math.ceil((slots * (index + 1)) / 3) - 1];
    await command(port, "CLUSTER", "ADDSLOTSRANGE", from, to);
  }
  for (const { server, busPort } of nodes.slice(1)) {
    await command(servers[0]!.port, "CLUSTER", "MEET", "127.0.0.1", server.port, busPort);
  }
  await everyNodeSees(servers, `cluster_known_nodes:${servers.length}`);
  for (const [index, { port }] of replicas.entries()) {
    const id = String(await command(masters[index]!.port, "CLUSTER", "MYID"));
    await command(port, "CLUSTER", "REPLICATE", id);
  }
  await everyNodeSees(servers, "cluster_state:ok");
  for (const replica of replicas) await replicaIsInSync(replica);
  const hosts = masters.map(({ port }) => `127.0.0.1:${port}`).join(",");
  return { url: `redis+cluster://${hosts}`, servers, masters, replicas };
}

async function everyNodeSees(servers: readonly RedisServer[], line: string): Promise<void> {
  for (const { port } of servers) {
    await eventually(
      `${line} on port ${port}`,
      async () => String(await command(port, "CLUSTER", "INFO")).includes(line),
      patience,
    );
  }
}

/** Moves some of a master's slots with their keys to another one, slot by slot, as `redis-cli --cluster reshard`. */
export async function moveSlots(
  from: RedisServer,
  to: RedisServer,
  others: readonly RedisServer[],
  count: number,
): Promise<void> {
  const [fromId, toId] = [
    String(await command(from.port, "CLUSTER", "MYID")),
    String(await command(to.port, "CLUSTER", "MYID")),
  ];
  const ranges = (await command(from.port, "CLUSTER", "SLOTS")) as [
    number,
    number,
    [string, number, string],
  ][];
  const owned = ranges
    .filter(([, , owner]) => owner[2] === fromId)
    .flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, index) => first + index));
  // Those with keys first: a slot without any says nothing.
  const busy: number[] = [];
  const source = client(from.port);
  const target = client(to.port);
  const rest = others.map(({ port }) => client(port));
  try {
    for (const slot of owned) {
      if (Number(await source.call("CLUSTER", "COUNTKEYSINSLOT", slot)) > 0) busy.push(slot);
    }
    const idle = owned.filter((slot) => !busy.includes(slot));
    for (const slot of [...busy, ...idle].slice(0, count)) {
      await target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", fromId);
      await source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", toId);
      for (;;) {
        const keys = (await source.call("CLUSTER", "GETKEYSINSLOT", slot, 10)) as string[];
        if (keys.length === 0) break;
        await source.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", ...keys);
      }
      for (const node of [target, source, ...rest]) await node.call("CLUSTER", "SETSLOT", slot, "NODE", toId);
    }
  } finally {
    for (const node of [source, target, ...rest]) node.disconnect();
  }
}

/** Waits until a replica has all that its master has. */
export function replicaIsInSync({ port }: RedisServer): Promise<unknown> {
  return eventually(
    `the replica on port ${port} to be in sync`,
    async () => String(await command(port, "INFO", "replication")).includes("master_link_status:up"),
    patience,
  );
}

export async function command(port: number, name: string, ...args: (string | number)[]): Promise<unknown> {
  const redis = client(port);
  try {
    return await redis.call(name, ...args);
  } finally {
    redis.disconnect();
  }
}

/** Gives up at once: its users try again. */
function client(port: number): Redis {
  const redis = new Redis(port, "127.0.0.1", { retryStrategy: () => null, commandTimeout: 8000 });
  // Without a listener ioredis prints; the rejection of the call says the same.
  redis.on("error", () => {});
  return redis;
}

/** A reply of names and values, as an object. */
function record(reply: unknown): Record<string, string> {
  if (reply instanceof Map) return Object.fromEntries(reply);
  if (!Array.isArray(reply)) return reply as Record<string, string>;
  const pairs = Array.from({ length: reply.length / 2 }, (_, index) => reply.slice(2 * index, 2 * index + 2));
  return Object.fromEntries(pairs);
}
