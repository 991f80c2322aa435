import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RedisBackend } from "../../src/stores/redis/backend.ts";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { type RedisCluster, type RedisServer, startCluster, startRedis } from "../support/redis-server.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

const alice = callerNamed("alice");
const newSession = (id: string = randomUUID()) => ({
  id,
  owner: alice.principal,
  libraryItemId: "item-1",
  contentVersion: "v1",
});
const notReplicated = { name: "ServiceError", messageId: "downlease.store.not_replicated" };
/** Callers are promised an answer within a second; the other second is for a slow machine. */
const answerBoundMs = 2_000;

const backends: RedisBackend[] = [];

async function open(url: string, waitReplicas: number): Promise<RedisBackend> {
  const backend = await connectRedis(url, { waitReplicas });
  backends.push(backend);
  return backend;
}

afterEach(async () => {
  for (const backend of backends.splice(0)) await backend[Symbol.asyncDispose]();
});

async function inTime<T>(work: Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work;
  expect(performance.now() - startedAt).toBeLessThan(answerBoundMs);
  return result;
}

describe("one master with two replicas", () => {
  let master: RedisServer;
  let replicas: RedisServer[];
  /** Between the replicas and their master. */
  let network: TcpProxy;
  let admin: Redis;

  beforeEach(async () => {
    // By default a master waits five seconds for more replicas before it sends its data.
    master = await startRedis({ args: ["--repl-diskless-sync-delay", "0"] });
    network = await startTcpProxy(master.port);
    const args = ["--replicaof", "127.0.0.1", String(network.port)];
    replicas = await Promise.all([1, 2].map(() => startRedis({ args })));
    admin = new Redis(master.url);
    // A test kills the master.
    admin.on("error", () => {});
    const online = async () => [...(await admin.info("replication")).matchAll(/^slave\d:.*state=online/gm)];
    await eventually("two replicas", async () => (await online()).length === 2, { withinMs: 10_000 });
  });

  afterEach(async () => {
    admin.disconnect();
    for (const server of [master, ...replicas]) await server.stop();
    await network[Symbol.asyncDispose]();
  });

  async function promote(replica: RedisServer): Promise<RedisBackend> {
    const client = new Redis(replica.url);
    await client.call("REPLICAOF", "NO", "ONE");
    client.disconnect();
    return open(replica.url, 0);
  }

  test("creates, ends and deletes are acknowledged when the replicas have them", async () => {
    const { sessions } = await open(master.url, 2);
    const [canceled, failed, deleted] = [1, 2, 3].map(() => newSession()) as [
      ReturnType<typeof newSession>,
      ReturnType<typeof newSession>,
      ReturnType<typeof newSession>,
    ];
    for (const session of [canceled, failed, deleted]) await sessions.create(session);
    expect(await sessions.finish(canceled.id, alice, "CANCELED")).toMatchObject({ outcome: "finished" });
    expect(await sessions.finish(failed.id, alice, "ERROR", "why")).toMatchObject({ outcome: "finished" });
    expect(await sessions.delete(deleted.id, alice)).toBe(true);
    await master.kill();
    for (const replica of replicas) {
      const other = (await promote(replica)).sessions;
      expect(await other.get(canceled.id, alice)).toMatchObject({ state: "CANCELED" });
      expect(await other.get(failed.id, alice)).toMatchObject({ state: "ERROR", errorMessage: "why" });
      expect(await other.get(deleted.id, alice)).toBeUndefined();
      expect((await other.list(alice.principal)).sort()).toEqual([canceled.id, failed.id].sort());
    }
  });

  test("many at a time are acknowledged, after the scripts were lost as well", async () => {
    const { sessions } = await open(master.url, 2);
    const all = Array.from({ length: 200 }, () => newSession());
    await Promise.all(all.map((session) => sessions.create(session)));
    await admin.script("FLUSH");
    const ends = await Promise.all(all.map(({ id }) => sessions.finish(id, alice, "CANCELED")));
    expect(ends.every(({ outcome }) => outcome === "finished")).toBe(true);
  });

  test("calls are refused while too few replicas answer, except keep-alives and reads", async () => {
    const backend = await open(master.url, 2);
    const { sessions } = backend;
    const { id } = await sessions.create(newSession());
    const [deleted, lives] = [await sessions.create(newSession()), await sessions.create(newSession())];
    replicas[0]!.pause();
    const refused = [
      sessions.create(newSession()),
      sessions.finish(id, alice, "CANCELED"),
      sessions.delete(deleted.id, alice),
    ].map((call) => call.catch((error: unknown) => error));
    for (const error of await inTime(Promise.all(refused))) expect(error).toMatchObject(notReplicated);
    expect(await inTime(sessions.keepAlive(lives.id, alice, 5))).toMatchObject({ progress: 5 });
    expect(await inTime(sessions.get(lives.id, alice))).toMatchObject({ progress: 5 });
    await expect(backend.probe()).rejects.toMatchObject(notReplicated);
    replicas[0]!.resume();
    await eventually("the store to take sessions again", () => backend.probe().then(() => true));
    expect(await sessions.create(newSession())).toMatchObject({ state: "ACTIVE" });
  });

  test("a keep-alive does not wait for the replicas", async () => {
    const { sessions } = await open(master.url, 1);
    const { id } = await sessions.create(newSession());
    for (const replica of replicas) replica.pause();
    const end = sessions
      .finish((await sessions.get(id, alice))!.id, alice, "CANCELED")
      .catch((error) => error);
    const other = newSession();
    const creation = sessions.create(other).catch((error: unknown) => error);
    let isOver = false;
    void Promise.all([end, creation]).then(() => {
      isOver = true;
    });
    await eventually("a keep-alive of the canceled session to be refused", async () => {
      return (await sessions.keepAlive(id, alice, 1)).outcome === "not_active";
    });
    expect(isOver).toBe(false);
    expect(await end).toMatchObject(notReplicated);
    expect(await creation).toMatchObject({ messageId: expect.stringMatching(/^downlease\.store\./) });
  });

  test("what has no time left is not sent", async () => {
    const { sessions } = await open(master.url, 1);
    for (const replica of replicas) replica.pause();
    const calls = Array.from({ length: 20 }, async (_, number) => {
      await new Promise((resolve) => setTimeout(resolve, number * 100));
      return sessions.create(newSession(`late-${number}`)).catch((error: unknown) => error);
    });
    const answers = await Promise.all(calls);
    for (const answer of answers)
      expect(answer).toMatchObject({ messageId: expect.stringMatching(/^downlease\.store\./) });
    const made = await admin.dbsize();
    for (const replica of replicas) replica.resume();
    await eventually("the replicas to have everything", async () => (await admin.wait(2, 500)) === 2);
    expect(await admin.dbsize()).toBe(made);
  });

  test("an acknowledged end is not undone when the master dies while its replicas are cut off", async () => {
    const { sessions } = await open(master.url, 2);
    const all = Array.from({ length: 50 }, () => newSession());
    await Promise.all(all.map((session) => sessions.create(session)));
    const ended: string[] = [];
    const ends = all.map(async ({ id }, number) => {
      await new Promise((resolve) => setTimeout(resolve, number * 20));
      const answer = await sessions.finish(id, alice, "CANCELED").catch((error: unknown) => error);
      if ((answer as { outcome?: string }).outcome === "finished") ended.push(id);
    });
    await eventually("the first ends", () => ended.length > 5);
    network.silence();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await master.kill();
    await Promise.all(ends);
    expect(ended.length).toBeLessThan(all.length);
    for (const replica of replicas) {
      const other = (await promote(replica)).sessions;
      for (const id of ended) expect(await other.get(id, alice)).toMatchObject({ state: "CANCELED" });
    }
  });

  test("without replicas to wait for, an acknowledged end may be undone", async () => {
    const { id } = await (await open(master.url, 2)).sessions.create(newSession());
    const { sessions } = await open(master.url, 0);
    network.silence();
    expect(await sessions.finish(id, alice, "CANCELED")).toMatchObject({ outcome: "finished" });
    await master.kill();
    expect(await (await promote(replicas[0]!)).sessions.get(id, alice)).toMatchObject({ state: "ACTIVE" });
  });
});

describe("a cluster with a replica each", () => {
  let cluster: RedisCluster;
  let nodes: Redis[];

  beforeAll(async () => {
    cluster = await startCluster(3, { hasReplicas: true });
    nodes = cluster.nodes.map(({ url }) => new Redis(url));
  }, 60_000);

  afterAll(async () => {
    for (const node of nodes) node.disconnect();
    await cluster.stop();
  });

  async function holderOf(id: string) {
    const key = sessionKey(id);
    const slot = Number(await nodes[0]!.cluster("KEYSLOT", key));
    for (const [index, node] of nodes.entries()) {
      if (((await node.cluster("GETKEYSINSLOT", slot, 100)) as string[]).includes(key))
        return { slot, index };
    }
    throw new Error(`no node has ${key}`);
  }

  const waitsOf = async (node: Redis) =>
    Number(/cmdstat_wait:calls=(\d+)/.exec(await node.info("commandstats"))?.[1] ?? 0);

  test("sessions on every node are acknowledged", async () => {
    const { sessions } = await open(cluster.url, 1);
    const all = Array.from({ length: 60 }, () => newSession());
    await Promise.all(all.map((session) => sessions.create(session)));
    const ends = await Promise.all(all.map(({ id }) => sessions.finish(id, alice, "CANCELED")));
    expect(ends.every(({ outcome }) => outcome === "finished")).toBe(true);
  });

  test("a session whose slot moves is acknowledged by the replica of the node that has it then", async () => {
    const { sessions } = await open(cluster.url, 1);
    const [moving, moved] = [newSession(), newSession()];
    for (const [session, isDone] of [
      [moving, false],
      [moved, true],
    ] as const) {
      await sessions.create(session);
      const { slot, index } = await holderOf(session.id);
      const [source, target] = [nodes[index]!, nodes[(index + 1) % nodes.length]!];
      const [sourceId, targetId] = [await source.cluster("MYID"), await target.cluster("MYID")].map(String);
      await target.cluster("SETSLOT", slot, "IMPORTING", sourceId!);
      await source.cluster("SETSLOT", slot, "MIGRATING", targetId!);
      await source.migrate(
        "127.0.0.1",
        cluster.nodes[(index + 1) % nodes.length]!.port,
        "",
        0,
        5_000,
        "KEYS",
        sessionKey(session.id),
      );
      const end = () => Promise.all(nodes.map((node) => node.cluster("SETSLOT", slot, "NODE", targetId!)));
      if (isDone) await end();
      const before = await waitsOf(target);
      expect(await sessions.finish(session.id, alice, "CANCELED")).toMatchObject({ outcome: "finished" });
      expect(await waitsOf(target)).toBeGreaterThan(before);
      await end();
    }
  });
});
