import { pino } from "pino";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/domain/backend.ts";
import { LeaseCounts } from "../../src/domain/lease-counts.ts";
import { RedisBackend } from "../../src/stores/redis/backend.ts";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { CensusTaker } from "../../src/telemetry/census-taker.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { ReplicaReporter } from "../../src/telemetry/replica-reporter.ts";
import { eventually } from "../support/eventually.ts";
import { longLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

const intervalMs = 40;

/** A process that reports to the store and takes the census, quickly. */
async function startCensus({ replicas, sessionRecords: sessions }: Backend, counts: LeaseCounts) {
  const metrics = new Metrics();
  const identity = { name: "one:1", version: "1.0.0", address: "http://127.0.0.1:1" };
  const activity = () => ({ ...metrics.activity, granted: counts.granted, ended: counts.ended });
  const reporter = new ReplicaReporter({
    store: replicas,
    identity,
    activity,
    isReady: () => true,
    intervalMs,
  });
  await reporter.start();
  const log = pino({ level: "silent" });
  const taker = new CensusTaker({ sessions, replicas, reporter, metrics: metrics.leases, log, intervalMs });
  const expired = async () => {
    const { values = [] } =
      (await metrics.snapshot()).find(({ name }) => name === "downlease_leases_expired_total") ?? {};
    return values[0]?.value;
  };
  return {
    expired,
    /** Resolves with a census that began after this. */
    async next() {
      const { now } = await replicas.read();
      return eventually(
        "a census",
        async () => {
          const { census } = await replicas.read();
          return census !== undefined && census.startedAt > now ? census : undefined;
        },
        { withinMs: 20_000 },
      );
    },
    async [Symbol.asyncDispose]() {
      await taker.close();
      await reporter.close();
    },
  };
}

/** The census over every backend: of all its sessions, so each case has a backend of its own. */
export function censusContract(backend: TestBackend): void {
  const alone = { ...backend, open: backend.openAlone ?? backend.open };

  describe(`census: ${backend.name}`, () => {
    it("counts sessions by state, and the leases that ran out", async () => {
      const leaseCounts = new LeaseCounts();
      await using stage = await setStage("sessions", alone, { leaseCounts });
      const { store, alice } = stage;
      await using census = await startCensus(stage.one, leaseCounts);
      const ids = await Promise.all(Array.from({ length: 40 }, () => stage.newSessionId()));
      await store.finish(ids[0]!, alice, "CANCELED");
      await store.finish(ids[1]!, alice, "ERROR");
      await store.delete(ids[2]!, alice);
      expect((await census.next()).states).toEqual({ ACTIVE: 37, CANCELED: 1, ERROR: 1 });
      const time = await stage.stopTime();
      await time.pass(longLeaseTerms.leaseMs - 1_000, ids, [alice.principal]);
      const { expiring, topPrincipals } = await census.next();
      expect([expiring, topPrincipals]).toEqual([37, [{ id: alice.principal, sessions: 39 }]]);
      for (const id of ids.slice(30)) await store.keepAlive(id, alice);
      await time.pass(2_000, ids, [alice.principal]);
      await census.next();
      await eventually("all to be counted", async () => (await census.expired()) === 27);
      expect((await census.next()).states.ACTIVE).toBe(10);
      expect(await census.expired()).toBe(27);
    });

    it.runIf(backend.name === "Redis")("takes sessions that were lost for none that expired", async () => {
      const leaseCounts = new LeaseCounts();
      await using stage = await setStage("sessions", alone, { leaseCounts });
      if (!(stage.one instanceof RedisBackend)) throw new Error("not on Redis");
      const { client } = stage.one.connection;
      await using census = await startCensus(stage.one, leaseCounts);
      const ids = await Promise.all(Array.from({ length: 30 }, () => stage.newSessionId()));
      // The first one may have seen totals from before.
      await census.next();
      await census.next();
      // As when a node of a cluster is lost, and the totals are on another one.
      await client.del(...ids.slice(10).map(sessionKey));
      expect((await census.next()).states.ACTIVE).toBe(10);
      await client.flushall();
      await stage.newSessionId();
      expect((await census.next()).states.ACTIVE).toBe(1);
      await census.next();
      expect(await census.expired()).toBe(0);
    });
  });
}
