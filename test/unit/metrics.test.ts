import { pino } from "pino";
import { describe, expect, test } from "vitest";
import type { CallRecord } from "../../src/calls/call.ts";
import { Connection } from "../../src/calls/connection.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { Health } from "../../src/telemetry/health.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { StoreMonitor } from "../../src/telemetry/store-monitor.ts";
import { eventually } from "../support/eventually.ts";

const finished: CallRecord = {
  call: { protocol: "rest", requestId: "1", connection: new Connection("127.0.0.1"), headers: {} },
  operation: "DownloadSession.KeepAlive",
  outcome: "ok",
  durationMs: 1,
};

function failed(error: ServiceError): CallRecord {
  return { ...finished, outcome: error.kind, error };
}

describe("the metrics", () => {
  const sumOf = async (metrics: Metrics, name: string) => {
    const { values = [] } = (await metrics.snapshot()).find((each) => each.name === name) ?? {};
    return values.reduce((sum, { value }) => sum + value, 0);
  };

  test("count renewals of leases by calls, in batches and by the store", async () => {
    const metrics = new Metrics();
    const operations = ["DownloadSession.KeepAlive", "File.List", "File.Prepare", "File.Get"];
    for (const operation of operations) {
      metrics.observeCall({ ...finished, operation });
      metrics.observeCall({ ...failed(new ServiceError("downlease.session.not_found", ["x"])), operation });
    }
    for (const operation of ["DownloadSession.Get", "DownloadSession.BatchKeepAlive", "File.Inspect"])
      metrics.observeCall({ ...finished, operation });
    metrics.countKeepAlive("ok");
    metrics.countKeepAlive("not_found");
    metrics.leases.counts.renewed += 2;
    expect(await sumOf(metrics, "downlease_leases_renewed_total")).toBe(7);
    expect(metrics.activity).toMatchObject({ renewed: 7, calls: 11 });
    metrics.observeCall(finished);
    expect(await sumOf(metrics, "downlease_leases_renewed_total")).toBe(8);
  });

  test("count refusals by reason, and no other error", async () => {
    const metrics = new Metrics();
    for (const id of [
      "downlease.session.too_many",
      "downlease.server.overloaded",
      "downlease.session.not_found",
    ] as const)
      metrics.observeCall(failed(new ServiceError(id, ["1"])));
    metrics.connections.refused();
    expect(await sumOf(metrics, "downlease_refusals_total")).toBe(3);
  });

  test("show whether a store that can't be written responds", async () => {
    const metrics = new Metrics();
    const store = {
      isUp: false,
      responds: false,
      probe: async () => {
        if (!store.isUp) throw new Error("read-only");
      },
      describe: async () => {
        if (!store.responds) throw new Error("gone");
      },
    };
    const health = new Health([]);
    const monitor = new StoreMonitor({
      store,
      health,
      metrics: metrics.store,
      log: pino({ level: "silent" }),
      intervalMs: 10,
    });
    const shown = async () => [
      await sumOf(metrics, "downlease_store_up"),
      await sumOf(metrics, "downlease_store_writable"),
    ];
    await monitor.start();
    expect(await shown()).toEqual([0, 0]);
    store.responds = true;
    await eventually("the store to respond", async () => (await shown())[0] === 1);
    expect(await shown()).toEqual([1, 0]);
    store.isUp = true;
    await eventually("the store to be writable", async () => (await shown())[1] === 1);
    monitor.stop();
  });
});
