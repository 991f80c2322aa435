import { expect, it } from "vitest";
import type { Refusal, Renewal } from "../../src/domain/session.ts";
import { longLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { expectInOrder, type Observation } from "./session-store-concurrency.ts";
import { expectLease, notFound, type Stage, setStage } from "./stage.ts";

/** Many keep-alives in one call. */
export function heartbeatsContract(backend: TestBackend): void {
  it("answers no heartbeats with no results", async () => {
    await using stage = await setStage("sessions", backend);
    expect(await stage.store.keepAliveMany([], stage.alice)).toEqual([]);
  });

  it("keeps many sessions alive at once, results in the order of the heartbeats", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice, now } = stage;
    const ids = await createSessions(stage, 1_000);
    const from = await now();
    const results = await store.keepAliveMany(
      ids.map((id, index) => ({ id, progress: index % 101 })),
      alice,
    );
    const to = await now();
    expect(results.map((result) => (result.outcome === "renewed" ? result.progress : result))).toEqual(
      ids.map((_, index) => index % 101),
    );
    for (const result of results)
      expectLease((result as Renewal).expiresAt, longLeaseTerms.leaseMs, from, to);
    for (const index of [0, 1, 100, 101, 999]) {
      const { expiresAt, progress } = results[index] as Renewal;
      expect(await store.get(ids[index]!, alice)).toMatchObject({ expiresAt, progress });
    }
  });

  it("gives each heartbeat the answer it would get alone", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice, bob, admin } = stage;
    const [active, silent, canceled, failed, deleted] = await createSessions(stage, 5);
    await store.finish(canceled!, alice, "CANCELED");
    await store.finish(failed!, alice, "ERROR", "disk full");
    await store.delete(deleted!, alice);
    const bobs = await store.create(stage.newSession({ owner: bob.principal }));
    const renewed = (progress: number) => expect.objectContaining({ outcome: "renewed", progress });
    const heartbeats = [
      { id: active!, progress: 101 },
      { id: canceled!, progress: 101 },
      { id: deleted! },
      { id: bobs.id, progress: 101 },
      { id: active!, progress: 30 },
      { id: silent!, progress: undefined },
      { id: failed!, progress: 5 },
      { id: stage.newSession().id, progress: -1 },
      { id: silent!, progress: Number.NaN },
    ];
    expect(await store.keepAliveMany(heartbeats, alice)).toEqual([
      { outcome: "invalid_progress" },
      { outcome: "not_active", state: "CANCELED" },
      notFound,
      notFound,
      renewed(30),
      renewed(0),
      { outcome: "not_active", state: "ERROR" },
      notFound,
      { outcome: "invalid_progress" },
    ]);
    expect(await store.get(bobs.id, bob), "another's session is left as it is").toEqual(bobs);
    expect(await store.keepAliveMany([{ id: active!, progress: 40 }, { id: bobs.id }], admin)).toEqual([
      renewed(40),
      renewed(0),
    ]);
  });

  it("applies heartbeats for the same session in order", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const [one, two] = await createSessions(stage, 2);
    const reported = [10, 30, undefined, 20, 101, 31, 100, 99];
    const results = await store.keepAliveMany(
      reported.flatMap((progress) => [
        { id: one!, progress },
        { id: two!, progress: progress && progress - 1 },
      ]),
      alice,
    );
    const progressOf = (result: Renewal | Refusal) =>
      result.outcome === "renewed" ? result.progress : result.outcome;
    const of = (session: 0 | 1) => results.filter((_, index) => index % 2 === session);
    expect(of(0).map(progressOf)).toEqual([10, 30, 30, 30, "invalid_progress", 31, 100, 100]);
    expect(of(1).map(progressOf)).toEqual([9, 29, 29, 29, 100, 100, 100, 100]);
    for (const session of [0, 1] as const) {
      const expiries = of(session).flatMap((result) =>
        result.outcome === "renewed" ? result.expiresAt : [],
      );
      expect(expiries, "leases never get shorter").toEqual(expiries.toSorted((a, b) => a - b));
    }
  });

  it("lets no heartbeat of a batch succeed once a cancel was acknowledged, however many", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, second, alice } = stage;
    const [id, ...others] = await createSessions(stage, 20);
    const observations: Observation[] = [];
    let canceledAt = Number.POSITIVE_INFINITY;
    const heartbeater = async (instance: typeof store, cancels: boolean) => {
      for (let turn = 0; ; turn++) {
        const heartbeats = [id!, ...others].flatMap((session) => [
          { id: session, progress: Math.min(100, turn) },
          { id: session },
        ]);
        const startedAt = performance.now();
        const results = await instance.keepAliveMany(heartbeats, alice);
        const acknowledgedAt = performance.now();
        for (const result of results.slice(0, 2)) {
          observations.push({ startedAt, acknowledgedAt, result });
        }
        expect(
          results.slice(2).filter(({ outcome }) => outcome !== "renewed"),
          "the other sessions are not affected",
        ).toEqual([]);
        if (startedAt > canceledAt) return;
        // A store that works synchronously gives others their turn only here.
        await new Promise(setImmediate);
        if (cancels && turn === 30) {
          expect(await second.finish(id!, alice, "CANCELED")).toMatchObject({ outcome: "finished" });
          canceledAt = performance.now();
        }
      }
    };
    await Promise.all([
      heartbeater(store, false),
      heartbeater(second, true),
      heartbeater(store, false),
      heartbeater(second, false),
    ]);
    expectInOrder(observations, canceledAt);
  });
}

async function createSessions({ store, newSession }: Stage<"sessions">, count: number): Promise<string[]> {
  const sessions = await Promise.all(Array.from({ length: count }, () => store.create(newSession())));
  return sessions.map(({ id }) => id);
}
