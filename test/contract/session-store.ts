import { describe, expect, it } from "vitest";
import type { FinalState } from "../../src/domain/session.ts";
import { longLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { concurrencyContract } from "./session-store-concurrency.ts";
import { expiryContract } from "./session-store-expiry.ts";
import { heartbeatsContract } from "./session-store-heartbeats.ts";
import { identityContract } from "./session-store-identity.ts";
import { listContract } from "./session-store-list.ts";
import { quotaContract } from "./session-store-quota.ts";
import { expectLease, notFound, setStage } from "./stage.ts";

const finalStates: FinalState[] = ["CANCELED", "ERROR"];

/** What every session store must do. */
export function sessionStoreContract(backend: TestBackend): void {
  describe(`session store: ${backend.name}`, () => {
    operationsContract(backend);
    listContract(backend);
    heartbeatsContract(backend);
    identityContract(backend);
    expiryContract(backend);
    concurrencyContract(backend);
    quotaContract(backend);
  });
}

function operationsContract(backend: TestBackend): void {
  it("creates an ACTIVE session without progress and with a full lease", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice, now } = stage;
    const spec = stage.newSession();
    const from = await now();
    const created = await store.create(spec);
    expectLease(created.expiresAt, longLeaseTerms.leaseMs, from, await now());
    expect(created).toEqual({ ...spec, state: "ACTIVE", progress: 0, expiresAt: created.expiresAt });
    expect(await store.get(spec.id, alice)).toEqual(created);
  });

  it("leaves the lease alone when a session is read or listed", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const created = await store.create(stage.newSession());
    await store.get(created.id, alice);
    await store.list(alice.principal);
    expect(await store.get(created.id, alice)).toEqual(created);
  });

  it("renews the lease with every keep-alive and raises the progress only", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice, now } = stage;
    const created = await store.create(stage.newSession());
    for (const [reported, stored] of [
      [undefined, 0],
      [40, 40],
      [40, 40],
      [39, 40],
      [undefined, 40],
      [0, 40],
      [100, 100],
      [100, 100],
      [1, 100],
    ] as const) {
      const from = await now();
      const renewal = await store.keepAlive(created.id, alice, reported);
      if (renewal.outcome !== "renewed") throw new Error(`${reported}: ${renewal.outcome}`);
      expectLease(renewal.expiresAt, longLeaseTerms.leaseMs, from, await now());
      expect(renewal.progress).toBe(stored);
      const { expiresAt } = renewal;
      expect(await store.get(created.id, alice)).toEqual({ ...created, progress: stored, expiresAt });
    }
  });

  it("refuses a progress that is no integer from 0 to 100, and changes nothing", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const { id } = await store.create(stage.newSession());
    await store.keepAlive(id, alice, 50);
    const before = await store.get(id, alice);
    for (const progress of [-1, 101, 50.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 63)]) {
      expect(await store.keepAlive(id, alice, progress)).toEqual({ outcome: "invalid_progress" });
    }
    expect(await store.get(id, alice)).toEqual(before);
  });

  it.each(finalStates)("takes an ACTIVE session to %s, once and for all", async (state) => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const { id } = await store.create(stage.newSession());
    await store.keepAlive(id, alice, 50);
    const message = state === "ERROR" ? "disk full" : undefined;
    expect(await store.finish(id, alice, state, message)).toMatchObject({ outcome: "finished" });

    const finished = await store.get(id, alice);
    expect(finished).toMatchObject({ state, progress: 50 });
    expect(finished?.errorMessage).toBe(message);

    const refusal = { outcome: "not_active", state };
    expect(await store.keepAlive(id, alice)).toEqual(refusal);
    expect(await store.keepAlive(id, alice, 60)).toEqual(refusal);
    expect(await store.keepAlive(id, alice, 101), "the state is checked before the progress").toEqual(
      refusal,
    );
    for (const other of finalStates) {
      expect(await store.finish(id, alice, other, "again")).toEqual(refusal);
    }
    expect(await store.get(id, alice)).toEqual(finished);
  });

  it("deletes a session in any state", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    for (const state of [undefined, ...finalStates]) {
      const { id } = await store.create(stage.newSession());
      if (state !== undefined) await store.finish(id, alice, state);
      expect(await store.delete(id, alice)).toBe(true);
      expect(await store.get(id, alice)).toBeUndefined();
      expect(await store.delete(id, alice)).toBe(false);
    }
  });

  it("answers not_found for a session that never existed", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice, admin } = stage;
    for (const caller of [alice, admin]) {
      const { id } = stage.newSession();
      expect(await store.get(id, caller)).toBeUndefined();
      expect(await store.keepAlive(id, caller)).toEqual(notFound);
      expect(await store.keepAlive(id, caller, 101)).toEqual(notFound);
      expect(await store.finish(id, caller, "CANCELED")).toEqual(notFound);
      expect(await store.delete(id, caller)).toBe(false);
    }
  });

  it("remembers whether a session ends with its user, as it was first created", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, one, alice } = stage;
    const ofUser = await store.create(stage.newSession({ endsWithUser: true }));
    const other = await store.create(stage.newSession());
    for (const session of [ofUser, other]) {
      const endsWithUser = session === ofUser ? true : undefined;
      const again = { ...stage.newSession(), id: session.id, endsWithUser: true };
      const seen = [session, await store.create(again), await store.get(session.id, alice)];
      await store.finish(session.id, alice, "ERROR", "disk full");
      seen.push(await store.get(session.id, alice));
      seen.push((await one.sessionFiles.files(session.id, alice))?.session);
      seen.push((await one.sessionRecords.find([session.id]))[0]);
      expect(seen.map((each) => each?.endsWithUser)).toEqual(Array(6).fill(endsWithUser));
      expect(seen.slice(3).map((each) => each?.errorMessage)).toEqual(Array(3).fill("disk full"));
    }
  });

  it("creates a session again when it is ACTIVE: content and progress stay, the lease is renewed", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice, now } = stage;
    const spec = stage.newSession();
    await store.create(spec);
    await store.keepAlive(spec.id, alice, 50);
    const from = await now();
    const again = await store.create({ ...spec, libraryItemId: "item-2", contentVersion: "v8" });
    expectLease(again.expiresAt, longLeaseTerms.leaseMs, from, await now());
    expect(again).toEqual({ ...spec, state: "ACTIVE", progress: 50, expiresAt: again.expiresAt });
    expect(await store.get(spec.id, alice)).toEqual(again);
  });

  it.each(finalStates)("leaves a session that is %s as it is when it is created again", async (state) => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const spec = stage.newSession();
    await store.create(spec);
    await store.finish(spec.id, alice, state, state === "ERROR" ? "disk full" : undefined);
    const finished = await store.get(spec.id, alice);
    expect(await store.create(spec)).toEqual(finished);
    expect(await store.get(spec.id, alice)).toEqual(finished);
  });

  it("creates a deleted session again", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const spec = stage.newSession();
    await store.create(spec);
    await store.keepAlive(spec.id, alice, 50);
    await store.finish(spec.id, alice, "ERROR", "disk full");
    await store.delete(spec.id, alice);
    const created = await store.create({ ...spec, contentVersion: "v8" });
    expect(created).toMatchObject({ state: "ACTIVE", progress: 0, contentVersion: "v8" });
    expect(created).not.toHaveProperty("errorMessage");
    expect(await store.get(spec.id, alice)).toEqual(created);
  });

  it("shows what one instance did to another at once", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, second, alice } = stage;
    const created = await store.create(stage.newSession());
    expect(await second.get(created.id, alice)).toEqual(created);
    expect(await second.list(alice.principal)).toEqual([created.id]);
    await second.keepAlive(created.id, alice, 50);
    expect(await store.get(created.id, alice)).toMatchObject({ progress: 50 });
    await store.finish(created.id, alice, "CANCELED");
    expect(await second.keepAlive(created.id, alice)).toEqual({ outcome: "not_active", state: "CANCELED" });
    expect(await second.delete(created.id, alice)).toBe(true);
    expect(await store.get(created.id, alice)).toBeUndefined();
  });

  it("can be written until it is closed, and after that rejects every call as unavailable", async () => {
    const { one, store, alice, newSession, close } = await setStage("sessions", backend);
    const spec = newSession();
    await store.create(spec);
    await one.probe();
    await close();
    for (const call of [
      () => store.create(spec),
      () => store.get(spec.id, alice),
      () => store.list(alice.principal),
      () => store.keepAlive(spec.id, alice),
      () => store.keepAlive(spec.id, alice, 101),
      () => store.keepAliveMany([{ id: spec.id }], alice),
      () => store.finish(spec.id, alice, "CANCELED"),
      () => store.delete(spec.id, alice),
      () => one.probe(),
    ]) {
      await expect(call()).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
    }
    await close();
  });
}
