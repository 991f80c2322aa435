import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { expect, it } from "vitest";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { connected } from "../contract/session-store-redis.ts";
import { longTerms } from "../contract/session-store-stage.ts";
import { startSentinel } from "../support/redis-server.ts";

it("the store finds the master by its name", async () => {
  await using sentinel = await startSentinel();
  const store = await connected(sentinel.url, longTerms);
  const master = new Redis(sentinel.master.url);
  try {
    const id = randomUUID();
    const alice = { principal: "alice", admin: false };
    await store.create({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
    expect(await store.keepAlive(id, alice, 50)).toMatchObject({ outcome: "renewed", progress: 50 });
    expect(await master.exists(sessionKey(id))).toBe(1);
  } finally {
    await store.close();
    master.disconnect();
  }
});
