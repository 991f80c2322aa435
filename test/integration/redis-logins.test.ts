import { Writable } from "node:stream";
import { Redis } from "ioredis";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { digestOf, newLoginId } from "../../src/domain/login.ts";
import type { Login, LoginStore } from "../../src/domain/login-store.ts";
import { noRoles, rolesFrom } from "../../src/domain/roles.ts";
import type { RedisBackend } from "../../src/stores/redis/backend.ts";
import { loginKey, revocationChannel } from "../../src/stores/redis/keys.ts";
import type { RedisLoginStore } from "../../src/stores/redis/redis-login-store.ts";
import { newLogin } from "../contract/logins.ts";
import { eventually } from "../support/eventually.ts";
import { connectRedis, openRedis } from "../support/redis-backend.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };

/** Every call of the port. */
const calls: Record<string, (store: LoginStore, id: string) => Promise<unknown>> = {
  open: (store) => store.open(newLogin()),
  find: async (store, id) => store.find(id),
  "find a login session that never existed": async (store) => store.find("0".repeat(32)),
  addFailure: (store) => store.addFailure("alice", 60_000),
  removeFailure: (store) => store.removeFailure("alice"),
  close: (store, id) => store.close(id),
};

async function expectAllUnavailable(store: LoginStore, id: string): Promise<void> {
  for (const [name, call] of Object.entries(calls)) {
    await expect(call(store, id), name).rejects.toMatchObject(unavailable);
  }
}

/** Commands that Redis has run by a name. */
async function ran(client: Redis, command: string): Promise<number> {
  const stats = await client.info("commandstats");
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
}

/** The answer if there is one without waiting for Redis. */
function atHand(store: RedisLoginStore, id: string): Login | undefined {
  const answer = store.find(id);
  if (!(answer instanceof Promise)) return answer;
  // The outcome of the look-up does not matter.
  answer.catch(() => {});
  return undefined;
}

describe("login sessions in a Redis of its own", () => {
  let redis: RedisServer;
  let client: Redis;
  let backend: RedisBackend;
  let store: RedisLoginStore;

  beforeEach(async () => {
    redis = await startRedis({ appendonly: true });
    client = new Redis(redis.url);
    client.on("error", () => {});
    backend = await connectRedis(redis.url);
    store = backend.logins;
  });

  afterEach(async () => {
    vi.restoreAllMocks();
    await backend[Symbol.asyncDispose]();
    client.disconnect();
    await redis.stop();
  });

  /** From now on nothing in the cache becomes too old. */
  const stopTime = () => vi.spyOn(performance, "now").mockReturnValue(performance.now());

  it("are looked up by one command for many callers at once, and by none while they are cached", async () => {
    const login = newLogin();
    const id = await store.open(login);
    await store.find(id);
    await backend[Symbol.asyncDispose]();
    backend = await connectRedis(redis.url);
    store = backend.logins;
    stopTime();
    await client.config("RESETSTAT");
    await Promise.all(Array.from({ length: 100 }, () => store.find(id)));
    for (let time = 0; time < 100; time++) expect(store.find(id)).toMatchObject(login);
    expect(await ran(client, "evalsha")).toBe(1);
  });

  it("are looked up again, and so renewed, a second after the last time", async () => {
    const id = await store.open(newLogin());
    await store.find(id);
    await client.pexpire(loginKey(digestOf(id)), 30_000);
    const clock = vi.spyOn(performance, "now");
    clock.mockReturnValue(performance.now() + 1_000);
    expect(store.find(id)).toBeInstanceOf(Promise);
    clock.mockRestore();
    await eventually("the renewal", async () => (await client.pttl(loginKey(digestOf(id)))) > 50_000);
  });

  it("are not kept by their identifiers, nor failures by names", async () => {
    const id = await store.open(newLogin());
    await store.addFailure("user mallory", 60_000);
    const keys = await client.keys("*");
    expect(keys).toHaveLength(2);
    expect(keys.join()).not.toMatch(new RegExp(`${id}|mallory`));
  });

  it.each([
    [{ a: "0" }, noRoles],
    [{ a: "1" }, rolesFrom(["admin"])],
    [{ a: "0", r: "0" }, noRoles],
    [{ a: "0", r: "1" }, rolesFrom(["storage"])],
    [{ a: "1", r: "1" }, rolesFrom(["admin", "storage"])],
  ])("of former releases, which wrote %j, keep their roles", async (flags, roles) => {
    const id = newLoginId();
    const login = { p: "alice", f: "a proof", c: Date.now(), ...flags };
    await client.hset(loginKey(digestOf(id)), login);
    await client.pexpire(loginKey(digestOf(id)), 30_000);
    expect(await store.find(id)).toMatchObject({ principal: "alice", roles, proof: "a proof" });
  });

  it.each([
    [[], { a: "0", r: "0" }],
    [["admin"], { a: "1", r: "1" }],
    [["storage"], { a: "0", r: "1" }],
  ])("with the roles %j can be read by former releases", async (names, flags) => {
    const id = await store.open(newLogin({ principal: "alice", roles: rolesFrom(names) }));
    const login = await client.hgetall(loginKey(digestOf(id)));
    expect(login).toMatchObject({ p: "alice", f: "a proof", c: expect.stringMatching(/^\d+$/), ...flags });
  });

  it("are dropped when their revocation is heard", async () => {
    const id = await store.open(newLogin());
    await store.find(id);
    stopTime();
    await client.del(loginKey(digestOf(id)));
    expect(store.find(id), "no message was sent").toMatchObject({ proof: "a proof" });
    await client.publish(revocationChannel, digestOf(id));
    await vi.waitFor(async () => expect(await store.find(id)).toBeUndefined(), { timeout: 5_000 });
  });

  it("that are revoked during a look-up are not open afterwards", async () => {
    const id = await store.open(newLogin());
    const mark = Promise.withResolvers<string>();
    const marks = backend.connection.subscriber.listen("downlease-test", {
      heard: mark.resolve,
      established() {},
    });
    await eventually("the second channel to be heard", () => marks.isEstablished);
    stopTime();
    // This connection gets no answers until the list has an entry.
    const held = backend.connection.client.blpop("downlease-test", 0);
    const lookUp = store.find(id);
    expect(store.find(id), "shared").toBe(lookUp);
    await client.publish(revocationChannel, digestOf(id));
    await client.publish("downlease-test", "the revocation was heard");
    expect(await mark.promise).toBe("the revocation was heard");
    await client.rpush("downlease-test", "go on");
    await held;
    // It still exists: only the message was sent.
    expect(await lookUp).toMatchObject({ proof: "a proof" });
    const again = store.find(id);
    expect(again).toBeInstanceOf(Promise);
    expect(await again).toMatchObject({ proof: "a proof" });
    expect(store.find(id)).toMatchObject({ proof: "a proof" });
  });

  it("are looked up each time while revocations can't be heard, and dropped from the cache", async () => {
    const id = await store.open(newLogin());
    await store.find(id);
    stopTime();
    expect(store.find(id)).not.toBeInstanceOf(Promise);
    await client.acl("SETUSER", "default", "resetchannels");
    await vi.waitFor(() => expect(store.isCacheUsable).toBe(false), { timeout: 5_000 });
    await client.config("RESETSTAT");
    for (let time = 1; time <= 5; time++) {
      expect(await store.find(id)).toBeDefined();
      expect(await ran(client, "evalsha")).toBe(time);
    }
    // A revocation that is not heard.
    await client.del(loginKey(digestOf(id)));
    await client.acl("SETUSER", "default", "allchannels");
    await vi.waitFor(() => expect(store.isCacheUsable).toBe(true), { timeout: 5_000 });
    expect(await store.find(id)).toBeUndefined();
  });

  it("are closed even where access rules forbid the message, and one log line warns", async () => {
    await client.acl("SETUSER", "default", "resetchannels");
    const lines: string[] = [];
    const sink = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    const deaf = openRedis(redis.url, { log: pino({ level: "info" }, sink) });
    const deafStore = deaf.logins;
    try {
      await eventually("the warning", () => lines.some((line) => line.includes(revocationChannel)));
      const refusals = async () =>
        Number(/errorstat_NOPERM:count=(\d+)/.exec(await client.info("errorstats"))?.[1] ?? 0);
      const refused = await refusals();
      await eventually("more attempts", async () => (await refusals()) > refused + 2);
      expect(lines.filter((line) => line.includes(revocationChannel))).toHaveLength(1);
      const id = await deafStore.open(newLogin());
      expect(await deafStore.find(id)).toBeDefined();
      expect(await deafStore.close(id)).toBe(true);
      expect(await deafStore.find(id)).toBeUndefined();
    } finally {
      await deaf[Symbol.asyncDispose]();
    }
  });

  it("have their revocations announced again after the subscription was cut", async () => {
    const far = await connectRedis(redis.url);
    const other = far.logins;
    try {
      for (let cut = 0; cut < 3; cut++) {
        expect(await client.call("CLIENT", "KILL", "TYPE", "pubsub")).toBe(2);
        await eventually("new subscriptions", async () => {
          return (
            (await client.pubsub("NUMSUB", revocationChannel))[1] === 2 &&
            store.isCacheUsable &&
            other.isCacheUsable
          );
        });
        const id = await store.open(newLogin());
        await other.find(id);
        await store.close(id);
        await eventually("the revocation", async () => (await other.find(id)) === undefined);
      }
    } finally {
      await far[Symbol.asyncDispose]();
    }
  });

  it("survive that Redis has lost its scripts", async () => {
    const id = await store.open(newLogin());
    const answers: Record<string, unknown> = {};
    for (const [name, call] of Object.entries(calls)) {
      await client.script("FLUSH");
      answers[name] = await call(store, id);
    }
    expect(answers).toMatchObject({
      open: expect.stringMatching(/^[0-9a-f]{32}$/),
      find: { proof: "a proof" },
      addFailure: { count: 1 },
      close: true,
    });
    expect(answers["find a login session that never existed"]).toBeUndefined();
  });

  it("are unavailable, never unknown, when Redis is killed, and open again when it is back", async () => {
    const login = newLogin();
    const id = await store.open(login);
    await store.find(id);
    await redis.kill();
    await eventually("the loss to be noticed", () => !store.isCacheUsable);
    await expectAllUnavailable(store, id);
    await redis.restart();
    await eventually("the store to be answered again", () => backend.probe().then(() => true));
    expect(await store.find(id)).toMatchObject(login);
    await eventually("revocations to be heard again", () => store.isCacheUsable);
    await store.find(id);
    expect(atHand(store, id)).toMatchObject(login);
  });

  it("are unavailable, never unknown, when Redis hangs, and open again when it goes on", async () => {
    const login = newLogin();
    const id = await store.open(login);
    await store.find(id);
    redis.pause();
    try {
      // A cached login session may be answered for a second.
      const failure = await eventually("the store to be unavailable", async () => {
        try {
          expect(await store.find(id)).toMatchObject(login);
          return undefined;
        } catch (error) {
          return error;
        }
      });
      expect(failure).toMatchObject(unavailable);
      // Not closed by a call: Redis would run it late.
      const { close, ...others } = calls;
      for (const [name, call] of Object.entries(others)) {
        await expect(call(store, id), name).rejects.toMatchObject(unavailable);
      }
    } finally {
      redis.resume();
    }
    await eventually("the store to be answered again", () => backend.probe().then(() => true));
    expect(await store.find(id)).toMatchObject(login);
  });

  it("are found when Redis comes after the store", async () => {
    await redis.kill();
    const early = openRedis(redis.url);
    const earlyStore = early.logins;
    try {
      await expectAllUnavailable(earlyStore, "0".repeat(32));
      await redis.restart();
      await eventually("the store to find Redis", () => early.probe().then(() => true));
      const id = await earlyStore.open(newLogin());
      expect(await earlyStore.find(id)).toBeDefined();
      await eventually("revocations to be heard", () => earlyStore.isCacheUsable);
    } finally {
      await early[Symbol.asyncDispose]();
    }
  });

  it("leave no identifier and no name of a failure in Redis, and no key without an end", async () => {
    const monitor = await client.monitor();
    const shown: string[] = [];
    monitor.on("monitor", (_time: string, args: string[]) => shown.push(args.join(" ")));
    const id = await store.open(newLogin());
    await store.find(id);
    await store.addFailure("mallory", 60_000);
    const kept = await client.keys("*");
    expect(kept).toHaveLength(2);
    for (const key of kept) expect(await client.pttl(key), key).toBeGreaterThan(0);
    await store.close(id);
    await client.echo("the end");
    await eventually("the end mark", () => shown.some((line) => line.includes("the end")));
    monitor.disconnect();
    expect(shown.length).toBeGreaterThan(5);
    expect(shown.filter((line) => line.includes(id) || line.includes("mallory"))).toEqual([]);
  });
});
