import { expect, it } from "vitest";
import type { Refusal, Renewal } from "../../src/domain/session.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

/** One keep-alive as its caller saw it; times by one monotonic clock. */
export interface Observation {
  readonly startedAt: number;
  readonly acknowledgedAt: number;
  readonly result: Renewal | Refusal;
}

const clients = 32;
const keepAlivesBeforeCancel = 300;

export function concurrencyContract(backend: TestBackend): void {
  it("lets no keep-alive succeed once a cancel was acknowledged, however many", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, second, alice } = stage;
    const { id } = await store.create(stage.newSession());
    const observations: Observation[] = [];
    let canceledAt = Number.POSITIVE_INFINITY;

    const clientWork = Array.from({ length: clients }, async (_, client) => {
      const instance = client % 2 === 0 ? store : second;
      for (let turn = 0; ; turn++) {
        const startedAt = performance.now();
        // Neighbouring clients are in step, so that equal, late and reordered heartbeats all happen.
        const progress = turn % 5 === 4 ? undefined : Math.min(100, turn + (client % 3));
        const result = await instance.keepAlive(id, alice, progress);
        observations.push({ startedAt, acknowledgedAt: performance.now(), result });
        if (startedAt > canceledAt) return;
        // A store that works synchronously gives others their turn only here.
        await new Promise(setImmediate);
        if (
          client === 1 &&
          canceledAt === Number.POSITIVE_INFINITY &&
          observations.length > keepAlivesBeforeCancel
        ) {
          expect(await second.finish(id, alice, "CANCELED")).toMatchObject({ outcome: "finished" });
          canceledAt = performance.now();
        }
      }
    });
    await Promise.all(clientWork);

    expectInOrder(observations, canceledAt);
    expect(await store.get(id, alice)).toMatchObject({ state: "CANCELED" });
  });

  it("lets exactly one of many cancels and fails succeed", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, second, alice } = stage;
    const { id } = await store.create(stage.newSession());
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, turn) =>
        (turn % 2 === 0 ? store : second).finish(id, alice, turn % 3 === 0 ? "CANCELED" : "ERROR", "failed"),
      ),
    );
    expect(results.filter(({ outcome }) => outcome === "finished")).toHaveLength(1);
    const { state } = (await store.get(id, alice))!;
    expect(results.filter(({ outcome }) => outcome !== "finished")).toEqual(
      Array.from({ length: 19 }, () => ({ outcome: "not_active", state })),
    );
  });

  it("makes one session of many creations with one id", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, second, alice } = stage;
    const spec = stage.newSession();
    const created = await Promise.all(
      Array.from({ length: 20 }, (_, turn) =>
        (turn % 2 === 0 ? store : second).create({ ...spec, contentVersion: `v${turn}` }),
      ),
    );
    expect(new Set(created.map(({ contentVersion }) => contentVersion))).toHaveLength(1);
    expect(await store.list(alice.principal)).toEqual([spec.id]);
  });
}

/**
 * Fails unless the observations fit one order of events: what was acknowledged before a keep-alive started is seen
 * by it. Progress and lease never fall, and nothing is renewed after the cancel.
 */
export function expectInOrder(observations: readonly Observation[], canceledAt: number): void {
  const late = observations.filter(({ startedAt }) => startedAt > canceledAt);
  expect(late.length, "keep-alives that started after the cancel").toBeGreaterThan(0);
  for (const { result } of late) expect(result).toEqual({ outcome: "not_active", state: "CANCELED" });

  const byStart = observations.toSorted((a, b) => a.startedAt - b.startedAt);
  const byAcknowledgement = observations.toSorted((a, b) => a.acknowledgedAt - b.acknowledgedAt);
  const seen = { progress: 0, expiresAt: 0 };
  let acknowledged = 0;
  for (const { startedAt, result } of byStart) {
    for (; (byAcknowledgement[acknowledged]?.acknowledgedAt ?? startedAt) < startedAt; acknowledged++) {
      const earlier = byAcknowledgement[acknowledged]!.result;
      if (earlier.outcome !== "renewed") continue;
      seen.progress = Math.max(seen.progress, earlier.progress);
      seen.expiresAt = Math.max(seen.expiresAt, earlier.expiresAt);
    }
    if (result.outcome !== "renewed") continue;
    expect(result.progress).toBeGreaterThanOrEqual(seen.progress);
    expect(result.expiresAt).toBeGreaterThanOrEqual(seen.expiresAt);
  }
}
