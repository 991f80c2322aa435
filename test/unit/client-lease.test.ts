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
  test("is the time that is left at the answer if the clocks may agree", () => {
    const answer = { sentAt: noon, answeredAt: noon + 40, expiresAt: noon + 300_020, serverSecond: noon };
    expect(leaseLength(answer)).toEqual({ minMs: 299_980, maxMs: 300_060 });
  });

  test("is accurate to a second if the clocks differ", () => {
    const anHour = 3_600_000;
    // The server answered at 13:00:00.500 by its clock, and sends 13:00:00.
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

  test("uses the local clock if the server does not send the time", () => {
    const answer = { sentAt: noon, answeredAt: noon + 10, expiresAt: noon + 1000, serverSecond: undefined };
    expect(leaseLength(answer)).toEqual({ minMs: 990, maxMs: 1000 });
  });

  test("is zero, not less, once the lease is over", () => {
    const answer = { sentAt: noon, answeredAt: noon, expiresAt: noon - 5000, serverSecond: noon };
    expect(leaseLength(answer)).toEqual({ minMs: 0, maxMs: 0 });
  });

  test("has bounds that hold for any offset of the clocks", () => {
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
        // Clocks that may agree are assumed to, so this can be wrong by a second.
        expect(minMs).toBeLessThanOrEqual(leaseMs + 1000);
      }),
    );
  });
});

describe("a heartbeat", () => {
  const lease = { minMs: 300_000, maxMs: 301_000 };

  test("is sent after a third of the lease, or up to a fifth earlier", () => {
    expect(heartbeatPauseMs(lease, () => 1)).toBeCloseTo(100_000);
    expect(heartbeatPauseMs(lease, () => 0)).toBeCloseTo(80_000);
  });

  test("is not sent continuously, however short the lease", () => {
    expect(heartbeatPauseMs({ minMs: 0, maxMs: 40 }, () => 0)).toBe(50);
    expect(heartbeatPauseMs({ minMs: 0, maxMs: 0 }, () => 0)).toBe(1_000);
  });

  test("is sent once an hour, however long the lease", () => {
    const times = { sentAt: noon, answeredAt: noon, serverSecond: undefined };
    for (const expiresAt of [noon + 40 * 86_400_000, 8.64e15, Number.POSITIVE_INFINITY]) {
      const length = leaseLength({ ...times, expiresAt });
      expect(length).toEqual({ minMs: 30 * 86_400_000, maxMs: 30 * 86_400_000 });
      expect(heartbeatPauseMs(length)).toBe(3_600_000);
    }
    expect(leaseLength({ ...times, expiresAt: Number.NaN })).toEqual({ minMs: 0, maxMs: 0 });
  });

  test.each([300, 3_000, 30_000, 300_000])(
    "has a timeout and retries that fit into a lease of %i ms",
    (minMs) => {
      const length = { minMs, maxMs: minMs };
      const { firstMs, maxMs } = heartbeatBackOff(length);
      expect(firstMs).toBeLessThanOrEqual(maxMs);
      expect(heartbeatPauseMs(length) + 3 * maxMs).toBeLessThan(minMs);
      expect(heartbeatTimeoutMs(length)).toBeLessThan(minMs);
    },
  );

  test("has a timeout in whole milliseconds", () => {
    expect(heartbeatTimeoutMs({ minMs: 2_994.5, maxMs: 3_000 })).toBe(749);
  });

  test("is repeated slowly before the length of the lease is known", () => {
    expect(heartbeatBackOff(undefined)).toEqual({ firstMs: 100, maxMs: 5_000 });
    expect(heartbeatTimeoutMs(undefined)).toBe(10_000);
  });
});
