import { Redis } from "ioredis";
import { describe, expect, test } from "vitest";
import { ServiceError } from "../../src/domain/errors.ts";
import { eventually } from "../support/eventually.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { type RedisServer, startCluster, startRedis } from "../support/redis-server.ts";
import { startService } from "../support/service.ts";

interface Trouble {
  /** Begins of the cause. */
  readonly cause: RegExp;
  readonly begin: (client: Redis, other: RedisServer) => Promise<unknown>;
  readonly end: (client: Redis) => Promise<unknown>;
}

const user = "lease";
const password = "p4ss";

/** Why no session can be created, although Redis answers. */
const troubles: Record<string, Trouble> = {
  "a read-only replica": {
    cause:
      /^READONLY You can't write against a read only replica\. \((createSession-1, HSET|takePlace-1, ZADD)\)$/,
    begin: (client, other) => client.replicaof("127.0.0.1", other.port),
    end: (client) => client.replicaof("NO", "ONE"),
  },
  "no memory": {
    cause:
      /^OOM command not allowed when used memory > 'maxmemory'\. \((createSession-1, HSET|takePlace-1, ZADD)\)$/,
    begin: (client) => client.config("SET", "maxmemory", "1"),
    end: (client) => client.config("SET", "maxmemory", "0"),
  },
  "too few replicas": {
    cause: /^NOREPLICAS Not enough good replicas to write\. \((createSession-1, HSET|takePlace-1, ZADD)\)$/,
    begin: (client) => client.config("SET", "min-replicas-to-write", "1"),
    end: (client) => client.config("SET", "min-replicas-to-write", "0"),
  },
  "a user without the right to a command of a script": {
    cause: /can't run this command or subcommand \(takePlace-1, PEXPIRE\)$/,
    begin: (client) => client.acl("SETUSER", user, "-pexpire"),
    end: (client) => client.acl("SETUSER", user, "+pexpire"),
  },
  "a user without the right to run scripts": {
    cause: /^NOPERM this user has no permissions to run the 'evalsha' command/,
    begin: (client) => client.acl("SETUSER", user, "-evalsha"),
    end: (client) => client.acl("SETUSER", user, "+evalsha"),
  },
  "a user without the right to the keys": {
    cause: /^NOPERM this user has no permissions to access one of the keys/,
    begin: (client) => client.acl("SETUSER", user, "resetkeys", "~other*"),
    end: (client) => client.acl("SETUSER", user, "allkeys"),
  },
};

describe("no session can be created for", () => {
  test.each(Object.entries(troubles))("%s", async (_name, { cause, begin, end }) => {
    await using redis = await startRedis();
    await using other = await startRedis();
    const client = new Redis(redis.url);
    await client.acl("SETUSER", user, "on", `>${password}`, "allkeys", "allchannels", "+@all");
    await using backend = await connectRedis(`redis://${user}:${password}@127.0.0.1:${redis.port}`);
    try {
      await backend.probe();
      await begin(client, other);
      const error = await backend.probe().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ServiceError);
      expect(error).toMatchObject({ messageId: "downlease.store.unavailable" });
      expect(((error as ServiceError).cause as Error).message).toMatch(cause);
      await end(client);
      await eventually("sessions to be created", () => backend.probe().then(() => true));
      expect(await client.keys("*"), "left by probes").toEqual([]);
    } finally {
      client.disconnect();
    }
  });
});

test("a service on a server that takes no writes is not ready, says why once, and is ready again", async () => {
  await using redis = await startRedis();
  await using other = await startRedis();
  await using service = await startService(["--redis-url", redis.url]);
  const client = new Redis(redis.url);
  const status = async () => (await fetch(`${service.url}/readyz`)).status;
  try {
    await client.replicaof("127.0.0.1", other.port);
    await eventually("not ready", async () => (await status()) === 503);
    await eventually("several probes of new connections", async () => {
      const [, connections] = /total_connections_received:(\d+)/.exec(await client.info("stats")) ?? [];
      return Number(connections) > 8;
    });
    await client.replicaof("NO", "ONE");
    await eventually("ready again", async () => (await status()) === 200);
    const lines = service.logs.filter(({ msg }) => String(msg).startsWith("not ready"));
    expect(lines).toHaveLength(1);
    expect(lines[0]!.msg).toContain("READONLY You can't write against a read only replica.");
  } finally {
    client.disconnect();
  }
});

test("a cluster is probed on every master", async () => {
  await using cluster = await startCluster(3);
  await using backend = await connectRedis(cluster.url);
  for (const node of cluster.nodes) {
    const client = new Redis(node.url);
    try {
      await backend.probe();
      await client.config("SET", "maxmemory", "1");
      await expect(backend.probe()).rejects.toMatchObject({
        cause: { message: expect.stringMatching(/^OOM/) },
      });
      await client.config("SET", "maxmemory", "0");
    } finally {
      client.disconnect();
    }
  }
  await backend.probe();
});
