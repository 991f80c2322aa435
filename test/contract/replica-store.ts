import { describe, expect, it } from "vitest";
import { CensusTally } from "../../src/domain/census.ts";
import { LeaseCounts } from "../../src/domain/lease-counts.ts";
import { type Replica, replicaMs } from "../../src/domain/replica-store.ts";
import { oddNames } from "../support/odd-names.ts";
import { longLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

const none = { granted: 0, ended: 0 };

function replica(name: string, members: Partial<Replica> = {}): Replica {
  return {
    name,
    version: "1.2.3",
    address: "http://127.0.0.1:1",
    startedAt: 1,
    isReady: true,
    callsPerSecond: 1.5,
    downloads: 2,
    bytesPerSecond: 3.25,
    connections: 4,
    grantedPerSecond: 0,
    renewedPerSecond: 5,
    ...members,
  };
}

const census = new CensusTally(1).census(2, undefined, none, none);

/** The contract of every `ReplicaStore`. Replicas are those of a whole backend, so each case has one of its own. */
export function replicaStoreContract(backend: TestBackend): void {
  const alone = { ...backend, open: backend.openAlone ?? backend.open };

  describe(`replica store: ${backend.name}`, () => {
    it("has the latest report of each replica, by name, and adds up what they count", async () => {
      await using stage = await setStage("replicas", alone);
      const { store, second } = stage;
      expect(await store.read()).toMatchObject({ totals: none, replicas: [] });
      const from = await stage.now();
      const first = await store.report({
        replica: replica("b"),
        counted: { granted: 5, ended: 1 },
        batch: "1",
      });
      expect(first).toMatchObject({ totals: { granted: 5, ended: 1 }, census: undefined, takesCensus: true });
      for (const name of Object.values(oddNames)) {
        await second.report({ replica: replica(`a ${name}`), counted: none, batch: "-" });
      }
      await second.report({
        replica: replica("b", { downloads: 9 }),
        counted: { granted: 2, ended: 3 },
        batch: "2",
      });
      // Its answer was lost.
      await store.report({
        replica: replica("b", { downloads: 9 }),
        counted: { granted: 2, ended: 3 },
        batch: "2",
      });
      const { now, totals, replicas } = await second.read();
      expect(totals).toEqual({ granted: 7, ended: 4 });
      const names = Object.values(oddNames).map((name) => `a ${name}`);
      expect(replicas.map(({ name }) => name).sort()).toEqual([...names, "b"].sort());
      const seenAt = expect.toSatisfy((time: number) => time >= from - 1 && time <= now);
      expect(replicas.find(({ name }) => name === "b")).toEqual({
        ...replica("b", { downloads: 9 }),
        seenAt,
      });
    });

    it("gives the census to one replica at a time, and to another when that one leaves", async () => {
      await using stage = await setStage("replicas", alone);
      const { store, second } = stage;
      const takes = async (name: string) =>
        (await second.report({ replica: replica(name), counted: none, batch: "-" })).takesCensus;
      expect([await takes("a"), await takes("b"), await takes("a")]).toEqual([true, false, true]);
      expect(await store.recordCensus("b", census)).toBe(false);
      expect((await store.read()).census).toBeUndefined();
      expect(await store.recordCensus("a", census)).toBe(true);
      expect((await second.read()).census).toEqual(census);
      expect((await store.report({ replica: replica("b"), counted: none, batch: "-" })).census).toEqual(
        census,
      );
      await store.leave("a");
      expect((await store.read()).replicas.map(({ name }) => name)).toEqual(["b"]);
      expect(await takes("b")).toBe(true);
      await store.leave("a");
      expect(await takes("a")).toBe(false);
    });

    // The clock of Redis can't be stopped.
    it.skipIf(backend.name === "Redis")("forgets a replica that is silent", async () => {
      await using stage = await setStage("replicas", alone);
      const { store } = stage;
      const time = await stage.stopTime();
      await store.report({ replica: replica("a"), counted: none, batch: "-" });
      await time.pass(replicaMs - 1, [], []);
      expect(await store.report({ replica: replica("b"), counted: none, batch: "-" })).toMatchObject({
        takesCensus: false,
      });
      expect((await store.read()).replicas).toHaveLength(2);
      await time.pass(1, [], []);
      expect((await store.read()).replicas).toHaveLength(1);
      expect(await store.report({ replica: replica("b"), counted: none, batch: "-" })).toMatchObject({
        takesCensus: true,
      });
    });

    it("describes the store", async () => {
      await using stage = await setStage("replicas", alone);
      const { kind, usedBytes } = await stage.one.describe();
      expect(backend.name).toContain(kind);
      expect(usedBytes).toBeGreaterThan(1000);
    });

    it("counts what happens to leases, once each", async () => {
      const leaseCounts = new LeaseCounts();
      await using stage = await setStage("sessions", alone, { leaseCounts });
      const { store, alice, bob } = stage;
      const sessions = Array.from({ length: 5 }, () => stage.newSession());
      for (const session of sessions) await store.create(session);
      const [again, canceled, failed, deleted] = sessions.map(({ id }) => id) as [
        string,
        string,
        string,
        string,
      ];
      await store.create(sessions[0]!);
      await stage.one.sessionFiles.recordSent(again, new Map([["disk", 1]]));
      await store.finish(canceled, bob, "CANCELED");
      await store.finish(canceled, alice, "CANCELED");
      await store.finish(canceled, alice, "CANCELED");
      await store.create(sessions[1]!);
      await store.delete(canceled, alice);
      await store.finish(failed, alice, "ERROR", "disk full");
      await store.delete(deleted, bob);
      await store.delete(deleted, alice);
      await store.delete(deleted, alice);
      expect(leaseCounts).toMatchObject({
        granted: 5,
        renewed: 2,
        canceled: 1,
        failed: 1,
        deleted: 1,
        ended: 3,
      });
      // The others expire, which nobody counts here.
      const time = await stage.stopTime();
      await time.pass(longLeaseTerms.leaseMs, [again], [alice.principal]);
      expect(await store.get(again, alice)).toBeUndefined();
      await store.delete(again, alice);
      expect(leaseCounts.ended).toBe(3);
    });
  });
}
