import { expect, it } from "vitest";
import { longLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

const maxPerOwner = 5;
const leaseTerms = { ...longLeaseTerms, maxSessionsPerPrincipal: maxPerOwner };
const refusal = { messageId: "downlease.session.too_many", args: [String(maxPerOwner)] };

/** How many sessions a principal may have. */
export function quotaContract(backend: TestBackend): void {
  it("refuses a principal's session beyond the quota, and nobody else's", async () => {
    await using stage = await setStage("sessions", backend, { leaseTerms });
    const { store, second, alice, bob } = stage;
    const ids = [];
    for (let n = 0; n < maxPerOwner; n++) ids.push((await store.create(stage.newSession())).id);
    const refused = stage.newSession();
    for (const instance of [store, second]) {
      await expect(instance.create(refused)).rejects.toMatchObject(refusal);
    }
    expect(await store.get(refused.id, alice)).toBeUndefined();
    expect(await store.list(alice.principal)).toEqual(ids);
    await store.create(stage.newSession({ owner: bob.principal }));
  });

  it("lets no more through than the quota, however many creations run side by side", async () => {
    await using stage = await setStage("sessions", backend, { leaseTerms });
    const { store, second, alice } = stage;
    const creations = Array.from({ length: 40 }, (_, n) =>
      [store, second][n % 2]!.create(stage.newSession()),
    );
    const results = await Promise.allSettled(creations);
    const refusals = results.filter(({ status }) => status === "rejected");
    expect(refusals).toHaveLength(creations.length - maxPerOwner);
    for (const each of refusals) expect(each).toMatchObject({ reason: refusal });
    expect(await store.list(alice.principal)).toHaveLength(maxPerOwner);
  });

  it("creates a session again at the limit, which takes no other place", async () => {
    await using stage = await setStage("sessions", backend, { leaseTerms });
    const { store, second, alice } = stage;
    const specs = Array.from({ length: maxPerOwner }, () => stage.newSession());
    for (const spec of specs) {
      await Promise.all([store, second, store].map((instance) => instance.create(spec)));
    }
    await store.finish(specs[1]!.id, alice, "CANCELED");
    for (const spec of specs) expect(await second.create(spec)).toMatchObject({ id: spec.id });
    await expect(store.create(stage.newSession())).rejects.toMatchObject(refusal);
  });

  it("counts a final session until it is deleted, and a deleted one no longer", async () => {
    await using stage = await setStage("sessions", backend, { leaseTerms });
    const { store, alice } = stage;
    const specs = Array.from({ length: maxPerOwner }, () => stage.newSession());
    for (const spec of specs) await store.create(spec);
    for (const { id } of specs) await store.finish(id, alice, "ERROR", "disk full");
    for (const { id } of specs) {
      await expect(store.create(stage.newSession())).rejects.toMatchObject(refusal);
      await store.delete(id, alice);
      await store.create(stage.newSession());
    }
    // Many more than the quota, one after the other, new ids and one that is created again.
    const [last] = await store.list(alice.principal);
    await store.delete(last!, alice);
    const same = stage.newSession();
    for (let n = 0; n < 4 * maxPerOwner; n++) {
      const { id } = await store.create(n % 2 === 0 ? same : stage.newSession());
      await store.delete(id, alice);
    }
  });

  it("does not count sessions that have expired, and counts those that were kept alive", async () => {
    await using stage = await setStage("sessions", backend, { leaseTerms });
    const { store, second, alice } = stage;
    const { pass } = await stage.stopTime();
    const specs = Array.from({ length: maxPerOwner }, () => stage.newSession());
    const ids = specs.map(({ id }) => id);
    for (const spec of specs) await store.create(spec);
    await pass(leaseTerms.leaseMs / 2, ids, [alice.principal]);
    for (const id of ids.slice(0, 2)) await store.keepAlive(id, alice);
    await expect(second.create(stage.newSession())).rejects.toMatchObject(refusal);
    await pass(leaseTerms.leaseMs / 2 + 1_000, ids, [alice.principal]);
    const creations = Array.from({ length: maxPerOwner }, () => second.create(stage.newSession()));
    const results = await Promise.allSettled(creations);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(maxPerOwner - 2);
    expect(await store.list(alice.principal)).toHaveLength(maxPerOwner);
  });
}
