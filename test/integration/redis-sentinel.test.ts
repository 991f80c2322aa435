import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { expect, it } from "vitest";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { connectedLogins } from "../contract/login-store-redis.ts";
import { longLoginTerms, newLogin } from "../contract/login-store-stage.ts";
import { connected } from "../contract/session-store-redis.ts";
import { longTerms } from "../contract/session-store-stage.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { startSentinel } from "../support/redis-server.ts";

it("the store finds the master by its name", async () => {
  await using sentinel = await startSentinel();
  const store = await connected(sentinel.url, longTerms);
  const master = new Redis(sentinel.master.url);
  try {
    const id = randomUUID();
    const alice = callerNamed("alice");
    await store.create({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
    expect(await store.keepAlive(id, alice, 50)).toMatchObject({ outcome: "renewed", progress: 50 });
    expect(await master.exists(sessionKey(id))).toBe(1);
  } finally {
    await store.close();
    master.disconnect();
  }
});

it("revocations are heard by way of a sentinel", async () => {
  await using sentinel = await startSentinel();
  const one = await connectedLogins(sentinel.url, longLoginTerms);
  const other = await connectedLogins(sentinel.url, longLoginTerms);
  try {
    const id = await one.store.open(newLogin());
    expect(await other.store.find(id)).toBeDefined();
    expect(await one.store.close(id)).toBe(true);
    await eventually("the revocation", async () => (await other.store.find(id)) === undefined);
  } finally {
    one.connection.close();
    other.connection.close();
  }
});
