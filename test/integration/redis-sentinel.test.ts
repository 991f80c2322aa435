import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { expect, it } from "vitest";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { newLogin } from "../contract/logins.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { connectRedis } from "../support/redis-backend.ts";
import { startSentinel } from "../support/redis-server.ts";

it("the store connects to the master by its name", async () => {
  await using sentinel = await startSentinel();
  await using backend = await connectRedis(sentinel.url);
  const { sessions } = backend;
  const master = new Redis(sentinel.master.url);
  try {
    const id = randomUUID();
    const alice = callerNamed("alice");
    await sessions.create({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
    expect(await sessions.keepAlive(id, alice, 50)).toMatchObject({ outcome: "renewed", progress: 50 });
    expect(await master.exists(sessionKey(id))).toBe(1);
  } finally {
    master.disconnect();
  }
});

it("revocations are heard through a Sentinel", async () => {
  await using sentinel = await startSentinel();
  await using one = await connectRedis(sentinel.url);
  await using other = await connectRedis(sentinel.url);
  const id = await one.logins.open(newLogin());
  expect(await other.logins.find(id)).toBeDefined();
  expect(await one.logins.close(id)).toBe(true);
  await eventually("the revocation", async () => (await other.logins.find(id)) === undefined);
});
