import { expect, it } from "vitest";
import type { TestBackend } from "./backends.ts";
import { type Stage, setStage } from "./stage.ts";

/** More than two pages of any store. */
const many = 1_200;

export function listContract(backend: TestBackend): void {
  it("lists the principal's own sessions in any state, oldest first", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice, bob, admin } = stage;
    expect(await store.list(alice.principal)).toEqual([]);
    const ids: string[] = [];
    for (let count = 0; count < 20; count++) {
      const { id } = await store.create(stage.newSession());
      ids.push(id);
      await store.create(stage.newSession({ owner: bob.principal }));
    }
    await store.finish(ids[3]!, alice, "CANCELED");
    await store.finish(ids[5]!, alice, "ERROR", "disk full");
    expect(await store.list(alice.principal)).toEqual(ids);
    expect(await store.list(bob.principal)).toHaveLength(20);
    expect(await store.list(admin.principal), "an admin has none of their own").toEqual([]);
  });

  it("keeps the order of creation no matter what is done to a session later", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const first = stage.newSession();
    const last = stage.newSession();
    await store.create(first);
    await store.create(last);
    await store.keepAlive(first.id, alice, 50);
    await store.create(first);
    expect(await store.list(alice.principal)).toEqual([first.id, last.id]);
    await store.delete(first.id, alice);
    await store.create(first);
    expect(await store.list(alice.principal), "a session created again is the youngest").toEqual([
      last.id,
      first.id,
    ]);
  });

  it("filters the list by library item", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const [one, two, three] = [
      stage.newSession(),
      stage.newSession({ libraryItemId: "item-2" }),
      stage.newSession(),
    ];
    for (const spec of [one, two, three]) await store.create(spec);
    expect(await store.list(alice.principal, "item-1")).toEqual([one.id, three.id]);
    expect(await store.list(alice.principal, "item-2")).toEqual([two.id]);
    expect(await store.list(alice.principal, "item-3")).toEqual([]);
  });

  it("no longer lists a deleted session", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const kept = await store.create(stage.newSession());
    const deleted = await store.create(stage.newSession());
    await store.delete(deleted.id, alice);
    expect(await store.list(alice.principal)).toEqual([kept.id]);
  });

  it("lists many sessions, oldest first, while others come and go", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, second, alice } = stage;
    const ids = await createMany(stage);
    const lists = [store, second, store].map((instance) => instance.list(alice.principal));
    const { id } = await second.create(stage.newSession());
    await store.delete(id, alice);
    for (const listed of await Promise.all(lists)) {
      expect(listed.filter((each) => each !== id)).toEqual(ids);
    }
    expect(await store.list(alice.principal, "item-1")).toEqual(ids);
    expect(await store.list(alice.principal, "item-2")).toEqual([]);
  });

  it("keeps sessions alive between the pages of long lists", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const [first] = await createMany(stage);
    const lists = Array.from({ length: 10 }, () => store.list(alice.principal));
    let isDone = false;
    const all = Promise.all(lists).finally(() => (isDone = true));
    let keptAlive = 0;
    for (; !isDone; keptAlive++) {
      expect(await store.keepAlive(first!, alice)).toMatchObject({ outcome: "renewed" });
      // A store that works synchronously gives others their turn only here.
      await new Promise(setImmediate);
    }
    expect(new Set((await all).map(({ length }) => length))).toEqual(new Set([many]));
    expect(keptAlive).toBeGreaterThan(lists.length);
  });
}

/** The ids of many sessions of alice, in the order of their creation. */
async function createMany({ store, newSession }: Stage<"sessions">): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < many; n++) ids.push((await store.create(newSession())).id);
  return ids;
}
