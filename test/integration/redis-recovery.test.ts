import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { newLogin } from "../contract/logins.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { startProcess } from "../support/process.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { type RedisServer, startCluster, startRedis, startSentinel } from "../support/redis-server.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { tempDir } from "../support/temp-dir.ts";

const alice = callerNamed("alice");
const newSession = () => ({
  id: randomUUID(),
  owner: alice.principal,
  libraryItemId: "item-1",
  contentVersion: "v1",
});

/** What a slow machine may add to a bound that is promised. */
const slackMs = 3_000;

/** Milliseconds until the work succeeds. */
async function recovery(what: string, work: () => Promise<unknown>, boundMs: number): Promise<number> {
  const startedAt = performance.now();
  await eventually(what, () => work().then(() => true), { withinMs: boundMs + slackMs, everyMs: 50 });
  return performance.now() - startedAt;
}

async function commandOf(server: RedisServer, name: string, ...args: (string | number)[]): Promise<string> {
  const redis = new Redis(server.url);
  try {
    return String(await redis.call(name, ...args));
  } finally {
    redis.disconnect();
  }
}

const isSubscription = ({ sent }: { readonly sent: string }) => /\r\nsubscribe\r\n/i.test(sent);

describe("a connection that swallows everything without a word", () => {
  it("is replaced within 3 s, and so is that of the subscriptions", async () => {
    await using redis = await startRedis();
    await using proxy = await startTcpProxy(redis.port);
    await using backend = await connectRedis(`redis://127.0.0.1:${proxy.port}`);
    await backend.sessions.create(newSession());

    proxy.silence();
    await expect(backend.sessions.create(newSession())).rejects.toMatchObject({
      messageId: "downlease.store.unavailable",
    });
    await recovery("sessions to be created", () => backend.sessions.create(newSession()), 3_000);
    await eventually("revocations to be heard again", () => backend.logins.isCacheUsable);
    expect(proxy.swallowed).toBeGreaterThan(0);
  });

  it("is noticed within 2 s when it is that of the subscriptions alone", async () => {
    await using redis = await startRedis();
    await using proxy = await startTcpProxy(redis.port);
    await using deaf = await connectRedis(`redis://127.0.0.1:${proxy.port}`);
    await using other = await connectRedis(redis.url);
    const ended: string[] = [];
    let established = 0;
    const ends = deaf.watchEnds(
      (id) => ended.push(id),
      () => established++,
    );
    await eventually("ends to be heard", () => ends.isReliable && established > 0);
    const before = established;
    const { id } = await deaf.sessions.create(newSession());

    proxy.silence(isSubscription);
    await other.sessions.finish(id, alice, "CANCELED");
    // Watchers look at their sessions when the subscription is established once more.
    await eventually("the subscription to be replaced", () => ends.isReliable && established > before, {
      withinMs: 2_000 + slackMs,
    });
    expect(ended).not.toContain(id);
    const { id: next } = await deaf.sessions.create(newSession());
    await other.sessions.finish(next, alice, "CANCELED");
    await eventually("the next end to be heard", () => ended.includes(next));
  });

  it("is replaced while nothing is sent on it", async () => {
    await using redis = await startRedis();
    await using proxy = await startTcpProxy(redis.port);
    await using backend = await connectRedis(`redis://127.0.0.1:${proxy.port}`);
    proxy.silence();
    const silent = new Set(proxy.connections);
    await eventually("new connections", () => proxy.connections.some((each) => !silent.has(each)));
    await eventually("the store to be answered", () => backend.probe().then(() => true));
  });
});

describe("a Redis that hangs", () => {
  it("gets nothing later that was answered with unavailable long ago", async () => {
    await using redis = await startRedis();
    await using backend = await connectRedis(redis.url);
    const { sessions } = backend;
    const kept = await sessions.create(newSession());
    const heartbeats = Array.from({ length: 1_000 }, () => ({ id: kept.id, progress: 1 }));
    await sessions.keepAliveMany(heartbeats, alice);
    await commandOf(redis, "CONFIG", "RESETSTAT");

    redis.pause();
    const pausedAt = performance.now();
    let batches = 0;
    let early = 0;
    const refused = async () => {
      batches++;
      if (performance.now() - pausedAt < 2_500) early++;
      await expect(sessions.keepAliveMany(heartbeats, alice)).rejects.toThrow();
      await delay(20);
    };
    while (performance.now() - pausedAt < 4_000) await Promise.all([refused(), refused(), refused()]);
    await expect(sessions.finish(kept.id, alice, "CANCELED")).rejects.toThrow();
    redis.resume();
    await eventually("the store to be answered", () => backend.probe().then(() => true));

    // What is left of the first connection is run before: it was in the buffers of Redis.
    await eventually("Redis to have read what it had", async () =>
      /blocked_clients:0/.test(await commandOf(redis, "INFO", "clients")),
    );
    expect(await sessions.get(kept.id, alice)).toMatchObject({ state: "ACTIVE" });
    const [, calls] =
      /cmdstat_evalsha:calls=(\d+)/.exec(await commandOf(redis, "INFO", "commandstats")) ?? [];
    expect(Number(calls ?? 0)).toBeLessThanOrEqual((early + 1) * heartbeats.length);
    expect(batches).toBeGreaterThan(early);
  });
});

describe("a Sentinel that names another master", () => {
  it("is followed within 10 s of the freeze, and the former master is not used again", async () => {
    await using sentinel = await startSentinel({ replicas: 1, sentinels: 3 });
    await using one = await connectRedis(sentinel.url);
    await using other = await connectRedis(sentinel.url);
    const canceled = await one.sessions.create(newSession());
    await delay(100);

    sentinel.master.pause();
    const frozenAt = performance.now();
    await expect(one.sessions.keepAlive(canceled.id, alice)).rejects.toThrow();
    for (const backend of [one, other]) {
      await recovery("writes on the new master", () => backend.sessions.create(newSession()), 10_000);
    }
    const recoveredMs = performance.now() - frozenAt;
    expect(recoveredMs).toBeLessThan(10_000 + slackMs);
    await one.sessions.finish(canceled.id, alice, "CANCELED");
    const { id: made } = await one.sessions.create(newSession());

    sentinel.master.resume();
    const until = performance.now() + 3_000;
    while (performance.now() < until) {
      expect(await other.sessions.keepAlive(canceled.id, alice)).toMatchObject({ outcome: "not_active" });
      expect(await other.sessions.keepAlive(made, alice)).toMatchObject({ outcome: "renewed" });
      await delay(50);
    }
  });

  it("is followed when the former master lives on and takes it for one still", async () => {
    await using sentinel = await startSentinel({ replicas: 1, sentinels: 3 });
    await using one = await connectRedis(sentinel.url);
    const { id } = await one.sessions.create(newSession());
    await sentinel.failover();
    const [{ port: replica }] = sentinel.replicas as [RedisServer];
    await eventually("the replica to be named", async () => (await sentinel.masterPort()) === replica, {
      withinMs: 15_000,
    });
    const promoted = new Redis(replica);
    try {
      await eventually(
        "sessions to be created on the new master",
        async () => {
          const created = await one.sessions.create(newSession());
          return (await promoted.exists(sessionKey(created.id))) === 1;
        },
        { withinMs: 5_000 + slackMs },
      );
      expect(await one.sessions.keepAlive(id, alice)).toMatchObject({ outcome: "renewed" });
    } finally {
      promoted.disconnect();
    }
  });

  it("is not believed when it was frozen itself and others know better", async () => {
    await using sentinel = await startSentinel({ replicas: 1, sentinels: 3 });
    await using backend = await connectRedis(sentinel.url);
    sentinel.sentinels[0]!.pause();
    sentinel.master.pause();
    await recovery("writes on the new master", () => backend.sessions.create(newSession()), 10_000);
    const { id } = await backend.sessions.create(newSession());
    sentinel.sentinels[0]!.resume();
    sentinel.master.resume();
    const until = performance.now() + 2_500;
    while (performance.now() < until) {
      expect(await backend.sessions.keepAlive(id, alice)).toMatchObject({ outcome: "renewed" });
      await delay(20);
    }
  });
});

describe("a cluster of which a master freezes", () => {
  it("serves all slots again within 10 s, and is not ready until then", async () => {
    await using cluster = await startCluster(3, { hasReplicas: true });
    const backends = await Promise.all([1, 2, 3].map(() => connectRedis(cluster.url)));
    const sessions = await Promise.all(
      Array.from({ length: 60 }, () => backends[0]!.sessions.create(newSession())),
    );
    cluster.nodes[0]!.pause();
    const frozenAt = performance.now();
    const probes = await Promise.all(backends.map((backend) => backend.probe().catch(() => "not ready")));
    expect(probes).toEqual(["not ready", "not ready", "not ready"]);

    let lastFailureAt = frozenAt;
    let failures = 0;
    const renew = async (from: number) => {
      const { sessions: store } = backends[from]!;
      for (let turn = from; performance.now() - frozenAt < 12_000; turn++) {
        try {
          await store.keepAlive(sessions[turn % sessions.length]!.id, alice);
        } catch {
          failures++;
          lastFailureAt = performance.now();
        }
        await delay(50);
      }
    };
    await Promise.all([renew(0), renew(1), renew(2)]);
    expect(failures).toBeGreaterThan(0);
    expect(lastFailureAt - frozenAt).toBeLessThan(10_000);
    await Promise.all(backends.map((backend) => backend.probe()));
    await Promise.all(backends.map((backend) => backend[Symbol.asyncDispose]()));
  });
});

describe("one address in front of whichever server is the master", () => {
  /** HAProxy finds the master as managed services do, and leaves open connections alone. */
  async function startMasterProxy(servers: readonly RedisServer[]) {
    const directory = await tempDir();
    const port = await freePort();
    const config = join(directory.path, "redis.cfg");
    const lines = [
      "defaults",
      "  mode tcp",
      "  timeout connect 1s",
      "  timeout client 1h",
      "  timeout server 1h",
      "listen redis",
      `  bind 127.0.0.1:${port}`,
      "  option tcp-check",
      "  tcp-check send INFO\\ replication\\r\\n",
      "  tcp-check expect string role:master",
      ...servers.map(
        (server, index) => `  server r${index} 127.0.0.1:${server.port} check inter 200ms fall 1 rise 1`,
      ),
    ];
    await writeFile(config, `${lines.join("\n")}\n`);
    const haproxy = await startProcess("haproxy", ["-db", "-dR", "-f", config]);
    return {
      url: `redis://127.0.0.1:${port}`,
      async [Symbol.asyncDispose]() {
        await haproxy.kill();
        await directory.remove();
      },
    };
  }

  it("is followed within 5 s when the roles change, by the subscriptions too", async () => {
    await using first = await startRedis();
    await using second = await startRedis({ args: ["--replicaof", "127.0.0.1", String(first.port)] });
    await using proxy = await startMasterProxy([first, second]);
    await using one = await connectRedis(proxy.url);
    await using other = await connectRedis(proxy.url);
    await one.sessions.create(newSession());

    for (const [master, replica] of [
      [second, first],
      [first, second],
    ] as const) {
      await commandOf(master, "REPLICAOF", "NO", "ONE");
      await commandOf(replica, "REPLICAOF", "127.0.0.1", master.port);
      for (const backend of [one, other]) {
        await recovery("writes on the new master", () => backend.sessions.create(newSession()), 5_000);
      }
      // Without the new master's messages to its replica this shows that the subscriptions have moved.
      await commandOf(replica, "REPLICAOF", "NO", "ONE");
      await eventually("revocations to be heard", async () => {
        const id = await one.logins.open(newLogin());
        expect(await other.logins.find(id)).toBeDefined();
        await one.logins.close(id);
        await delay(50);
        return other.logins.isCacheUsable && (await other.logins.find(id)) === undefined;
      });
      await commandOf(replica, "REPLICAOF", "127.0.0.1", master.port);
    }
  });
});
