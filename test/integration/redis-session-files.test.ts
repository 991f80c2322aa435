import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RedisBackend } from "../../src/stores/redis/backend.ts";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { watch } from "../contract/session-file-store-ends.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };
const alice = callerNamed("alice");

/** Every call of the port that Redis answers. */
const calls: Record<string, (backend: RedisBackend, id: string) => Promise<unknown>> = {
  request: ({ sessionFiles }, id) => sessionFiles.request(id, alice, "a.vmdk", "HTTPS"),
  recordSent: ({ sessionFiles }, id) => sessionFiles.recordSent(id, new Map([["a.vmdk", 10]])),
  files: ({ sessionFiles }, id) => sessionFiles.files(id, alice),
};

describe("sessions' files in a Redis of its own", () => {
  let redis: RedisServer;
  let client: Redis;
  let one: RedisBackend;
  let other: RedisBackend;

  beforeEach(async () => {
    redis = await startRedis({ appendonly: true });
    client = new Redis(redis.url);
    client.on("error", () => {});
    [one, other] = await Promise.all([connectRedis(redis.url), connectRedis(redis.url)]);
  });

  afterEach(async () => {
    await one[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    client.disconnect();
    await redis.stop();
  });

  async function newSessionId(): Promise<string> {
    const spec = { id: randomUUID(), owner: "alice", libraryItemId: "item-1", contentVersion: "v1" };
    return (await one.sessions.create(spec)).id;
  }

  it("have no key of their own, and are removed with the session", async () => {
    const id = await newSessionId();
    for (const call of Object.values(calls)) await call(one, id);
    expect((await client.keys("*")).filter((key) => !key.startsWith("dl:owner:"))).toEqual([sessionKey(id)]);
    expect(await client.hgetall(sessionKey(id))).toMatchObject({ "r:a.vmdk": "HTTPS", "b:a.vmdk": "10" });
    await one.sessions.delete(id, alice);
    expect(await client.exists(sessionKey(id))).toBe(0);
  });

  it("survive that Redis has lost its scripts", async () => {
    const id = await newSessionId();
    const answers: Record<string, unknown> = {};
    for (const [name, call] of Object.entries(calls)) {
      await client.script("FLUSH");
      answers[name] = await call(one, id);
    }
    expect(answers).toMatchObject({
      request: { outcome: "renewed" },
      recordSent: { outcome: "renewed" },
      files: { files: new Map([["a.vmdk", { requested: "HTTPS", bytesSent: 10 }]]) },
    });
  });

  it("are unavailable, never unknown, when Redis is killed, and as they were when it is back", async () => {
    const id = await newSessionId();
    for (const call of Object.values(calls)) await call(one, id);
    await redis.kill();
    for (const [name, call] of Object.entries(calls)) {
      await expect(call(one, id), name).rejects.toMatchObject(unavailable);
    }
    await redis.restart();
    await eventually("the store to be answered again", () => one.probe().then(() => true));
    expect((await one.sessionFiles.files(id, alice))!.files).toEqual(
      new Map([["a.vmdk", { requested: "HTTPS", requestedForMs: expect.any(Number), bytesSent: 10 }]]),
    );
  });

  it("end for every process by one subscription each, which exists as soon as somebody watches", async () => {
    expect(await client.pubsub("NUMSUB", "dl:ended")).toEqual(["dl:ended", 0]);
    const watching = [watch(one), watch(one), watch(other)];
    await eventually("ends to be announced", () => watching.every(({ isReliable }) => isReliable));
    expect(await client.pubsub("NUMSUB", "dl:ended")).toEqual(["dl:ended", 2]);
    expect(watching.map(({ establishments }) => establishments)).toEqual([1, 1, 1]);
  });

  it("end unannounced while the subscription is cut, which each watcher can see, and announced afterwards", async () => {
    const watching = watch(other);
    await eventually("ends to be announced", () => watching.isReliable);
    for (let cut = 1; cut <= 3; cut++) {
      // A user that may not connect any more: the subscription can't come back before the end has been missed.
      await client.config("SET", "requirepass", "a password that nobody knows");
      await client.call("CLIENT", "KILL", "TYPE", "pubsub");
      await eventually("the loss to be noticed", () => !watching.isReliable);
      const missed = await newSessionId();
      await one.sessions.finish(missed, alice, "CANCELED");
      expect(watching.isReliable).toBe(false);
      await client.config("SET", "requirepass", "");
      await eventually("a new subscription", () => watching.isReliable);
      expect(watching.establishments, "ends may have been missed").toBe(cut + 1);
      expect(watching.ends).not.toContain(missed);
      const heard = await newSessionId();
      await one.sessions.delete(heard, alice);
      await eventually("the end", () => watching.ends.includes(heard));
    }
    watching.stop();
  });

  it("end although access rules forbid the announcement, and watchers know that they can't rely on it", async () => {
    await client.acl("SETUSER", "default", "resetchannels");
    const watching = watch(other);
    const refusals = async () =>
      Number(/errorstat_NOPERM:count=(\d+)/.exec(await client.info("errorstats"))?.[1] ?? 0);
    await eventually("attempts to subscribe", async () => (await refusals()) > 2);
    expect(watching.isReliable).toBe(false);
    const [canceled, deleted] = [await newSessionId(), await newSessionId()];
    expect(await one.sessions.finish(canceled, alice, "CANCELED")).toMatchObject({ outcome: "finished" });
    expect(await one.sessions.get(canceled, alice)).toMatchObject({ state: "CANCELED" });
    expect(await one.sessions.delete(deleted, alice)).toBe(true);
    expect(await one.sessions.get(deleted, alice)).toBeUndefined();
    expect(await one.sessionFiles.recordSent(canceled, new Map([["a.vmdk", 1]]))).toEqual({
      outcome: "not_active",
      state: "CANCELED",
    });
    await client.acl("SETUSER", "default", "allchannels");
    await eventually("ends to be announced", () => watching.isReliable);
    const heard = await newSessionId();
    await one.sessions.finish(heard, alice, "ERROR", "the disk is full");
    await eventually("the end", () => watching.ends.includes(heard));
    expect(watching.ends).toEqual([heard]);
    watching.stop();
  });
});
