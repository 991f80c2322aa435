import { expect, test } from "vitest";
import { overviewPoint } from "../../src/domain/overview.ts";
import type { Replica } from "../../src/domain/replica-store.ts";
import { OverviewHistory } from "../../src/telemetry/overview-history.ts";
import { eventually } from "../support/eventually.ts";

const replica: Replica = {
  name: "a:1",
  version: "1.0.0",
  address: "http://127.0.0.1:1",
  startedAt: 0,
  isReady: true,
  callsPerSecond: 9,
  downloads: 2,
  bytesPerSecond: 1000,
  connections: 4,
  grantedPerSecond: 0.5,
  renewedPerSecond: 3,
};

test("a point adds up what the replicas report", () => {
  const replicas = [replica, { ...replica, downloads: 1, bytesPerSecond: 500 }];
  expect(overviewPoint({ now: 7, replicas, census: undefined })).toEqual({
    at: 7,
    active: 0,
    grantedPerSecond: 1,
    renewedPerSecond: 6,
    expiredPerSecond: 0,
    downloads: 3,
    bytesPerSecond: 1500,
  });
});

test("the history has the latest points, oldest first, and none while the store does not respond", async () => {
  let reads = 0;
  const store = {
    async read() {
      reads++;
      if (reads % 3 === 0) throw new Error("no store");
      return { now: reads, replicas: [], totals: { granted: 0, ended: 0 }, census: undefined };
    },
  };
  const history = new OverviewHistory({ store, intervalMs: 1 });
  try {
    await eventually("more points than are kept", async () => (reads > 320 ? true : undefined));
    const times = history.points.map(({ at }) => at);
    expect(times).toHaveLength(180);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.some((at) => at % 3 === 0)).toBe(false);
    expect(times[0]).toBeGreaterThan(1);
  } finally {
    history.close();
  }
});
