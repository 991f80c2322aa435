import { randomUUID } from "node:crypto";
import { Writable } from "node:stream";
import { Redis } from "ioredis";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Backend } from "../../src/domain/backend.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import type { RedisBackend } from "../../src/stores/redis/backend.ts";
import { ownerIndexKey, sessionKey } from "../../src/stores/redis/keys.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { connectRedis, openRedis } from "../support/redis-backend.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { longLeaseTerms as terms } from "../support/terms.ts";

const alice = callerNamed("alice");
const newSession = (id: string = randomUUID()) => ({
  id,
  owner: alice.principal,
  libraryItemId: "item-1",
  contentVersion: "v1",
});

/** Every call of the port, about a session that exists. */
const calls: Record<string, (backend: Backend, id: string) => Promise<unknown>> = {
  create: ({ sessions }, id) => sessions.create(newSession(id)),
  get: ({ sessions }, id) => sessions.get(id, alice),
  list: ({ sessions }) => sessions.list(alice.principal),
  "keep-alive": ({ sessions }, id) => sessions.keepAlive(id, alice, 50),
  heartbeats: ({ sessions }, id) => sessions.keepAliveMany([{ id, progress: 50 }, { id }], alice),
  cancel: ({ sessions }, id) => sessions.finish(id, alice, "CANCELED"),
  delete: ({ sessions }, id) => sessions.delete(id, alice),
  probe: (backend) => backend.probe(),
};

/** Callers are promised an answer within a second; the other second is for a slow machine. */
const answerBoundMs = 2_000;

async function expectAllUnavailable(backend: Backend, id: string): Promise<void> {
  const bound = AbortSignal.timeout(answerBoundMs);
  const tooLate = new Promise((resolve) => bound.addEventListener("abort", () => resolve("no answer")));
  const answers = Object.values(calls).map((call) => call(backend, id).catch((error: unknown) => error));
  const received = await Promise.all(answers.map((answer) => Promise.race([answer, tooLate])));
  for (const [index, name] of Object.keys(calls).entries()) {
    expect(received[index], name).toMatchObject({
      name: "ServiceError",
      messageId: "downlease.store.unavailable",
    });
  }
}

interface Shown {
  /** `lua` for a command of a script, else the address of a client. */
  readonly source: string;
  readonly args: readonly string[];
}

/** Sees every command that Redis runs. */
async function watch(client: Redis) {
  const monitor = await client.monitor();
  const shown: Shown[] = [];
  monitor.on("monitor", (_time: string, [name = "", ...args]: string[], source: string) =>
    shown.push({ source, args: [name.toLowerCase(), ...args] }),
  );
  return { shown, stop: () => monitor.disconnect() };
}

describe("a Redis of its own", () => {
  let redis: RedisServer;
  let client: Redis;
  let backend: RedisBackend;
  let store: SessionStore;

  beforeEach(async () => {
    redis = await startRedis({ appendonly: true });
    client = new Redis(redis.url);
    client.on("error", () => {});
    backend = await connectRedis(redis.url);
    store = backend.sessions;
  });

  afterEach(async () => {
    await backend[Symbol.asyncDispose]();
    client.disconnect();
    await redis.stop();
  });

  it("that has lost its scripts gets them again, unnoticed by callers", async () => {
    const { id } = await store.create(newSession());
    const answers: Record<string, unknown> = {};
    for (const [name, call] of Object.entries(calls)) {
      await client.script("FLUSH");
      answers[name] = await call(backend, id);
    }
    expect(answers).toMatchObject({
      get: { id, state: "ACTIVE" },
      list: [id],
      "keep-alive": { outcome: "renewed", progress: 50 },
      heartbeats: [
        { outcome: "renewed", progress: 50 },
        { outcome: "renewed", progress: 50 },
      ],
      cancel: { outcome: "finished" },
      delete: true,
    });

    const many = await Promise.all(Array.from({ length: 50 }, () => store.create(newSession())));
    await client.script("FLUSH");
    const renewals = await Promise.all(many.map((session) => store.keepAlive(session.id, alice, 10)));
    expect(renewals.map(({ outcome }) => outcome)).toEqual(many.map(() => "renewed"));
  });

  it("that loses its scripts in the middle of many heartbeats gets the text once", async () => {
    const sessions = await Promise.all(Array.from({ length: 500 }, () => store.create(newSession())));
    await store.keepAlive(sessions[0]!.id, alice);
    await client.config("RESETSTAT");
    // Redis is stopped until all have been sent. It then takes 16 kB from one connection before it looks at another,
    // and begins with the one that it heard from last: the store's.
    await backend.connection.client.ping();
    redis.pause();
    const heartbeats = [1, 2].flatMap((progress) => sessions.map(({ id }) => ({ id, progress })));
    const beating = store.keepAliveMany(heartbeats, alice);
    await new Promise(setImmediate);
    const flushed = client.script("FLUSH");
    await new Promise(setImmediate);
    redis.resume();
    await flushed;
    const results = await beating;

    const expected = heartbeats.map(({ progress }) => ({ outcome: "renewed", progress }));
    expect(results).toMatchObject(expected);
    const stats = await client.info("commandstats", "errorstats");
    const lost = Number(/errorstat_NOSCRIPT:count=(\d+)/.exec(stats)?.[1]);
    expect(lost, "heartbeats after the flush").toBeGreaterThan(0);
    expect(lost, "heartbeats before the flush").toBeLessThan(heartbeats.length);
    expect(stats).toContain("cmdstat_eval:calls=1,");
    // Only refused heartbeats are sent again.
    expect(stats).toContain(`cmdstat_evalsha:calls=${heartbeats.length + lost - 1},`);
  });

  it("that hangs and has lost its scripts does not get late calls", async () => {
    const { id } = await store.create(newSession());
    await client.script("FLUSH");
    await client.config("RESETSTAT");
    redis.pause();
    try {
      await expect(store.keepAliveMany([{ id }, { id }], alice)).rejects.toMatchObject({
        messageId: "downlease.store.unavailable",
      });
    } finally {
      redis.resume();
    }
    // Answers come in the order of the questions.
    await backend.connection.client.ping();
    await backend.connection.client.ping();
    const stats = await client.info("commandstats");
    expect(stats).toContain("cmdstat_evalsha:calls=2,");
    expect(stats).not.toContain("cmdstat_eval:");
  });

  it("that is killed is unavailable, and has lost nothing when it is back", async () => {
    const { id } = await store.create(newSession());
    await store.keepAlive(id, alice, 50);
    const other = await store.create(newSession());
    await store.finish(other.id, alice, "ERROR", "disk full");
    const before = [await store.get(id, alice), await store.get(other.id, alice)];

    await redis.kill();
    await expectAllUnavailable(backend, id);
    await redis.restart();
    await eventually("the store to reach Redis again", () => backend.probe().then(() => true));

    expect([await store.get(id, alice), await store.get(other.id, alice)]).toEqual(before);
    expect(await store.list(alice.principal)).toEqual([id, other.id]);
    expect(await store.keepAlive(id, alice, 60)).toMatchObject({ outcome: "renewed", progress: 60 });
  });

  it("that hangs is unavailable, and serves again when it goes on", async () => {
    const { id } = await store.create(newSession());
    redis.pause();
    try {
      await expectAllUnavailable(backend, id);
    } finally {
      redis.resume();
    }
    await eventually("the store to be answered again", () => backend.probe().then(() => true));
    // Redis reads what was sent while it hung, a delete among it: the outcome of those calls was not known.
    const created = await store.create(newSession());
    expect(await store.keepAlive(created.id, alice, 60)).toMatchObject({ outcome: "renewed", progress: 60 });
  });

  it("that starts after the store is reached as soon as it runs", async () => {
    await redis.kill();
    await using early = openRedis(redis.url);
    await expectAllUnavailable(early, randomUUID());
    await redis.restart();
    await eventually("the store to find Redis", () => early.probe().then(() => true));
    await early.sessions.create(newSession());
  });

  it("gets exactly one command for a keep-alive, about one key", async () => {
    const { id } = await store.create(newSession());
    const key = sessionKey(id);
    await store.keepAlive(id, alice);
    const { shown, stop } = await watch(client);
    expect(await store.keepAlive(id, alice, 42)).toMatchObject({ outcome: "renewed" });
    await client.echo("the end");
    await eventually("the end mark", () => shown.some(({ args }) => args[0] === "echo"));
    stop();

    const commands = shown.filter(({ args }) => args[0] !== "echo");
    const sent = commands.filter(({ source }) => source !== "lua");
    expect(sent.map(({ args: [name, , ...rest] }) => [name, ...rest])).toEqual([
      ["evalsha", "1", key, alice.principal, String(terms.leaseMs), "42"],
    ]);
    const run = commands.filter(({ source }) => source === "lua");
    expect(run.length).toBeGreaterThan(0);
    expect(new Set(run.map(({ args }) => args[1]))).toEqual(new Set([key]));
  });

  it("has its index repaired by list, except entries whose session may be about to be created", async () => {
    const index = ownerIndexKey(alice.principal);
    const kept = await store.create(newSession());
    const bobs = await store.create({ ...newSession(), owner: "bob" });
    const long = 1_000_000;
    await client.zadd(index, long, "gone-1", long, "gone-2", long, bobs.id, Date.now() * 1000, "to-come");

    expect(await store.list(alice.principal)).toEqual([kept.id]);
    await eventually("the repair of the index", async () => {
      expect(new Set(await client.zrange(index, "0", "-1"))).toEqual(new Set([kept.id, "to-come"]));
      return true;
    });
  });

  it("has an index that does not outlive its owner's sessions for ever", async () => {
    await store.create(newSession());
    expect(await client.ttl(ownerIndexKey(alice.principal))).toBeGreaterThan(30 * 86_400);
  });

  it("refuses for the quota without looking at sessions again that can't have expired", async () => {
    await using limited = await connectRedis(redis.url, {
      leaseTerms: { ...terms, maxSessionsPerPrincipal: 3 },
    });
    const index = ownerIndexKey(alice.principal);
    for (let n = 0; n < 3; n++) {
      const { id } = await limited.sessions.create(newSession());
      await client.zincrby(index, -60_000_000, id);
    }
    const { shown, stop } = await watch(client);
    for (const sent of [3, 0, 0]) {
      shown.length = 0;
      await expect(limited.sessions.create(newSession())).rejects.toMatchObject({
        messageId: "downlease.session.too_many",
      });
      const mark = `the end of ${sent}`;
      await client.echo(mark);
      await eventually("the end mark", () => shown.some(({ args }) => args[1] === mark));
      expect(shown.filter(({ args }) => args[0] === "pexpiretime")).toHaveLength(sent);
      expect(shown.filter(({ args, source }) => args[0] === "evalsha" && source !== "lua")).toHaveLength(
        sent > 0 ? 3 : 2,
      );
    }
    stop();
  });

  it("has its index kept small by creations alone", async () => {
    const index = ownerIndexKey(alice.principal);
    const garbage = 300;
    await client.zadd(index, ...Array.from({ length: garbage }, (_, n) => [1_000_000, `gone-${n}`]).flat());
    let created = 0;
    await eventually("the garbage to be swept", async () => {
      for (const end = created + 100; created < end; created++) await store.create(newSession());
      return (await client.zcount(index, "-inf", 1_000_000)) < garbage / 10;
    });
    expect(created, "creations that swept the garbage").toBeLessThan(10 * garbage);
    expect(await store.list(alice.principal)).toHaveLength(created);
  });
});

describe("a Redis that may evict", () => {
  it.each([
    ["allkeys-lru", 1],
    ["noeviction", 0],
  ])("with the policy %s causes %d warnings", async (policy, warnings) => {
    await using redis = await startRedis({ args: ["--maxmemory-policy", policy] });
    const lines: string[] = [];
    const sink = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    const client = new Redis(redis.url);
    const { shown, stop } = await watch(client);
    const backend = openRedis(redis.url, { log: pino({ level: "info" }, sink) });
    try {
      await eventually("the store to ask for the policy", () =>
        shown.some(({ args }) => args[0] === "info" && args[1] === "memory"),
      );
      // Answers come in the order of the questions.
      await backend.probe();
      expect(lines.filter((line) => line.includes(policy))).toHaveLength(warnings);
      stop();
    } finally {
      await backend[Symbol.asyncDispose]();
      client.disconnect();
    }
  });
});
