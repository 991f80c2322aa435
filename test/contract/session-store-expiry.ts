import { expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { briefLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { expectLease, notFound, type Stage, setStage } from "./stage.ts";

/** Real time: leases of a few hundred milliseconds, and none that a slow machine must keep up with. */
export function expiryContract(backend: TestBackend): void {
  it("keeps a session until expiresAt, and from then on no operation finds it", async () => {
    await using stage = await setStage("sessions", backend, { leaseTerms: briefLeaseTerms });
    const { store, alice, admin, now } = stage;
    const { id, expiresAt } = await store.create(stage.newSession());
    await untilGone(stage, id);
    expect(await now()).toBeGreaterThanOrEqual(expiresAt);
    for (const caller of [alice, admin]) {
      expect(await store.get(id, caller)).toBeUndefined();
      expect(await store.keepAlive(id, caller)).toEqual(notFound);
      expect(await store.keepAlive(id, caller, 101)).toEqual(notFound);
      expect(await store.finish(id, caller, "CANCELED")).toEqual(notFound);
      expect(await store.delete(id, caller)).toBe(false);
    }
    expect(await store.list(alice.principal)).toEqual([]);
  });

  it("keeps a session beyond its first lease for as long as it is kept alive", async () => {
    const terms = { leaseMs: 1_500, retentionMs: 300 };
    await using stage = await setStage("sessions", backend, { leaseTerms: terms });
    const { store, alice, now } = stage;
    const { id, expiresAt } = await store.create(stage.newSession());
    await eventually("the end of the first lease", async () => {
      const renewal = await store.keepAlive(id, alice);
      if (renewal.outcome !== "renewed") throw new Error(`the session is ${renewal.outcome}`);
      return (await now()) > expiresAt;
    });
    expect(await store.get(id, alice)).toMatchObject({ state: "ACTIVE" });
  });

  it("keeps a final session for the retention time", async () => {
    const terms = { leaseMs: 1_000, retentionMs: 40_000 };
    await using stage = await setStage("sessions", backend, { leaseTerms: terms });
    const { store, alice, now } = stage;
    const { id } = await store.create(stage.newSession());
    const from = await now();
    const finished = await store.finish(id, alice, "CANCELED");
    if (finished.outcome !== "finished") throw new Error(finished.outcome);
    expectLease(finished.expiresAt, terms.retentionMs, from, await now());
    expect(await store.get(id, alice)).toMatchObject({ state: "CANCELED", expiresAt: finished.expiresAt });
  });

  it("lets a final session vanish, but not before the lease that was promised to it", async () => {
    const terms = { leaseMs: 1_000, retentionMs: 1 };
    await using stage = await setStage("sessions", backend, { leaseTerms: terms });
    const { store, alice, now } = stage;
    const { id, expiresAt } = await store.create(stage.newSession());
    expect(await store.finish(id, alice, "CANCELED")).toEqual({ outcome: "finished", expiresAt });
    await untilGone(stage, id);
    expect(await now()).toBeGreaterThanOrEqual(expiresAt);
    expect(await store.list(alice.principal)).toEqual([]);
  });

  it("gives the id of an expired session to a new one", async () => {
    await using stage = await setStage("sessions", backend, { leaseTerms: briefLeaseTerms });
    const { store, alice, now } = stage;
    const spec = stage.newSession();
    await store.create(spec);
    await store.keepAlive(spec.id, alice, 50);
    await untilGone(stage, spec.id);
    const from = await now();
    const created = await store.create({ ...spec, contentVersion: "v8" });
    expectLease(created.expiresAt, briefLeaseTerms.leaseMs, from, await now());
    expect(created).toMatchObject({ state: "ACTIVE", progress: 0, contentVersion: "v8" });
  });

  it("never moves expiresAt back, also not by an instance with a shorter lease", async () => {
    await using stage = await setStage("sessions", backend, {}, { leaseTerms: briefLeaseTerms });
    const { second, alice } = stage;
    const spec = stage.newSession();
    const { expiresAt } = await stage.store.create(spec);
    expect(await second.keepAlive(spec.id, alice, 50)).toEqual({
      outcome: "renewed",
      expiresAt,
      progress: 50,
    });
    expect(await second.create(spec)).toMatchObject({ expiresAt });
    expect(await second.finish(spec.id, alice, "CANCELED")).toEqual({ outcome: "finished", expiresAt });
    expect(await second.get(spec.id, alice)).toMatchObject({ expiresAt });
  });
}

/** Reading does not renew the lease. */
function untilGone({ store, admin }: Stage<"sessions">, id: string): Promise<boolean> {
  return eventually("the session's expiry", async () => (await store.get(id, admin)) === undefined);
}
