import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  heartbeatBackOff,
  heartbeatPauseMs,
  heartbeatTimeoutMs,
  leaseLength,
} from "../../src/client/lease.ts";

const noon = Date.UTC(2030, 0, 1, 12);

describe("the length of a lease", () => {
  test("is what is left at the answer when the clocks may agree", () => {
    const answer = { sentAt: noon, answeredAt: noon + 40, expiresAt: noon + 300_020, serverSecond: noon };
    expect(leaseLength(answer)).toEqual({ minMs: 299_980, maxMs: 300_060 });
  });

  test("is known to a second when the clocks do not agree", () => {
    const anHour = 3_600_000;
    // The server answered at 13:00:00.500 by its clock, and tells 13:00:00.
    const { minMs, maxMs } = leaseLength({
      sentAt: noon + 490,
      answeredAt: noon + 510,
      expiresAt: noon + anHour + 500 + 300_000,
      serverSecond: noon + anHour,
    });
    expect(minMs).toBeGreaterThan(299_000);
    expect(minMs).toBeLessThanOrEqual(300_000);
    expect(maxMs).toBeGreaterThanOrEqual(300_000);
    expect(maxMs).toBeLessThan(301_100);
  });

  test("is by the local clock when the server does not tell the time", () => {
    const answer = { sentAt: noon, answeredAt: noon + 10, expiresAt: noon + 1000, serverSecond: undefined };
    expect(leaseLength(answer)).toEqual({ minMs: 990, maxMs: 1000 });
  });

  test("is none, not less, when it is over", () => {
    const answer = { sentAt: noon, answeredAt: noon, expiresAt: noon - 5000, serverSecond: noon };
    expect(leaseLength(answer)).toEqual({ minMs: 0, maxMs: 0 });
  });

  test("is never taken for shorter than it is, wherever the clocks stand", () => {
    const times = fc.record({
      aheadMs: fc.integer({ min: -1e10, max: 1e10 }),
      leaseMs: fc.integer({ min: 1, max: 1e7 }),
      thereMs: fc.integer({ min: 0, max: 5000 }),
      backMs: fc.integer({ min: 0, max: 5000 }),
      fraction: fc.integer({ min: 0, max: 999 }),
    });
    fc.assert(
      fc.property(times, ({ aheadMs, leaseMs, thereMs, backMs, fraction }) => {
        const sentAt = noon + fraction;
        const renewedAt = sentAt + thereMs;
        const serverTime = renewedAt + aheadMs;
        const { minMs, maxMs } = leaseLength({
          sentAt,
          answeredAt: renewedAt + backMs,
          expiresAt: serverTime + leaseMs,
          serverSecond: Math.floor(serverTime / 1000) * 1000,
        });
        expect(maxMs).toBeGreaterThanOrEqual(leaseMs - backMs);
        // Clocks that may agree are taken to, so that this can be wrong by a second.
        expect(minMs).toBeLessThanOrEqual(leaseMs + 1000);
      }),
    );
  });
});

describe("a heartbeat", () => {
  const lease = { minMs: 300_000, maxMs: 301_000 };

  test("comes when a third of the lease has gone by, or up to a fifth earlier", () => {
    expect(heartbeatPauseMs(lease, () => 1)).toBeCloseTo(100_000);
    expect(heartbeatPauseMs(lease, () => 0)).toBeCloseTo(80_000);
  });

  test("does not come all the time, however short the lease", () => {
    expect(heartbeatPauseMs({ minMs: 0, maxMs: 0 }, () => 0)).toBe(50);
  });

  test.each([300, 3_000, 30_000, 300_000])(
    "is waited for and repeated several times in a lease of %i ms",
    (minMs) => {
      const known = { minMs, maxMs: minMs };
      const { firstMs, maxMs } = heartbeatBackOff(known);
      expect(firstMs).toBeLessThanOrEqual(maxMs);
      expect(heartbeatPauseMs(known) + 3 * maxMs).toBeLessThan(minMs);
      expect(heartbeatTimeoutMs(known)).toBeLessThan(minMs);
    },
  );

  test("has a deadline that can be told", () => {
    expect(heartbeatTimeoutMs({ minMs: 2_994.5, maxMs: 3_000 })).toBe(749);
  });

  test("is repeated without haste when nothing is known of the lease", () => {
    expect(heartbeatBackOff(undefined)).toEqual({ firstMs: 100, maxMs: 5_000 });
    expect(heartbeatTimeoutMs(undefined)).toBe(10_000);
  });
});
