import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { fixedLinkKeys, SharedLinkKeys } from "../../src/downloads/link-keys.ts";
import { MemoryLinkKeyStore } from "../support/memory-link-key-store.ts";

const newKey = (id: string) => ({ id, secret: randomBytes(32) });

test("of configured keys the first one signs and each one verifies", async () => {
  const [first, second] = [newKey("new"), newKey("old")];
  const keys = fixedLinkKeys([first, second]);
  expect(await keys.signing()).toBe(first);
  expect(await keys.find("old")).toBe(second);
  expect(await keys.find("none")).toBeUndefined();
});

test("a key can be rotated without a link that fails", async () => {
  const [old, next] = [newKey("old"), newKey("next")];
  // Each step is made on every replica before the next one begins.
  const steps = [[old], [old, next], [next, old], [next]];
  for (let step = 1; step < steps.length; step++) {
    const [before, after] = [fixedLinkKeys(steps[step - 1]!), fixedLinkKeys(steps[step]!)];
    expect(await before.find((await after.signing()).id)).toBeDefined();
    // In the last step links of the old key are no longer valid.
    if (step < 3) expect(await after.find((await before.signing()).id)).toBeDefined();
  }
});

test("replicas with one store sign with one key", async () => {
  const store = new MemoryLinkKeyStore();
  const replicas = [new SharedLinkKeys(store), new SharedLinkKeys(store), new SharedLinkKeys(store)];
  const ids = await Promise.all(replicas.map(async (keys) => (await keys.signing()).id));
  expect(new Set(ids).size).toBe(1);
  expect(await replicas[2]!.find(ids[0]!)).toEqual(store.key);
});

test("the store is not asked for each link", async () => {
  const store = new MemoryLinkKeyStore();
  const keys = new SharedLinkKeys(store);
  const { id } = await keys.signing();
  for (let count = 0; count < 100; count++) {
    await keys.signing();
    await keys.find(id);
  }
  expect(store.calls).toBe(1);
});

test("a store that has lost its memory gets the key back", async () => {
  const store = new MemoryLinkKeyStore();
  const keys = new SharedLinkKeys(store, { trustMs: 0 });
  const key = await keys.signing();
  store.key = undefined;
  expect(await keys.signing()).toEqual(key);
  expect(store.key).toEqual(key);
  store.key = undefined;
  await keys.find(key.id);
  expect(store.key).toEqual(key);
});

test("when the store has another key, that one signs and the old one verifies still", async () => {
  const store = new MemoryLinkKeyStore();
  const keys = new SharedLinkKeys(store, { trustMs: 0 });
  const old = await keys.signing();
  store.key = newKey("other");
  expect(await keys.signing()).toEqual(store.key);
  expect(await keys.find(old.id)).toEqual(old);
});

test("a link with a key that another replica has made since is good", async () => {
  const store = new MemoryLinkKeyStore();
  const keys = new SharedLinkKeys(store, { pauseMs: 20 });
  await keys.signing();
  store.key = newKey("other");
  expect(await keys.find("other")).toEqual(store.key);
});

test("links with forged key ids cause few requests to the store", async () => {
  const store = new MemoryLinkKeyStore();
  const keys = new SharedLinkKeys(store, { pauseMs: 20 });
  await keys.signing();
  const invented = Array.from({ length: 1000 }, (_, index) => keys.find(`invented-${index}`));
  expect(new Set(await Promise.all(invented))).toEqual(new Set([undefined]));
  expect(store.calls).toBe(2);
});

test("a store that is down is reported while there is no key, and does no harm once there is one", async () => {
  const store = new MemoryLinkKeyStore();
  store.isDown = true;
  const keys = new SharedLinkKeys(store, { trustMs: 0, pauseMs: 0 });
  await expect(keys.signing()).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
  await expect(keys.find("x")).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
  store.isDown = false;
  const key = await keys.signing();
  store.isDown = true;
  expect(await keys.signing()).toEqual(key);
  expect(await keys.find(key.id)).toEqual(key);
  // Without the key the link can be neither accepted nor refused.
  await expect(keys.find("x")).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
});
