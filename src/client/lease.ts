import { clamp } from "./numbers.ts";
import type { BackOff } from "./retry.ts";

/**
 * The times of a heartbeat. The server sends the end of the lease by its own clock, which may differ from the local one.
 * All times are milliseconds; `sentAt` and `answeredAt` are of the local wall clock.
 */
export interface HeartbeatTimes {
  readonly sentAt: number;
  readonly answeredAt: number;
  /** End of the lease on the server's clock. */
  readonly expiresAt: number;
  /** Time of the answer by the server's clock, in whole seconds (`Date` header); undefined if it was not sent. */
  readonly serverSecond: number | undefined;
}

/** Bounds of the time that the lease lasts, counted from the answer. */
export interface LeaseLength {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Minimum time between two heartbeats. */
const minPauseMs = 50;
/** Minimum time when the lease is over with the answer that renews it: the server or a clock is wrong. */
const overPauseMs = 1_000;
/** Maximum time between two heartbeats, however long the lease. */
const maxPauseMs = 3_600_000;
/** The longest lease that the service can be set to; a longer one counts as this. */
const maxLeaseMs = 30 * 86_400_000;
const retryFirstMs = 100;
const retryMaxMs = 5_000;

/**
 * Computes how long a lease lasts. At some time between request and answer the server's clock was within the second of
 * the `Date` header, so the offset of the clocks is known to about a second. If an offset of zero is possible, the lower
 * bound assumes it: most clocks agree, and a lease may be shorter than a second.
 */
export function leaseLength({ sentAt, answeredAt, expiresAt, serverSecond }: HeartbeatTimes): LeaseLength {
  // Server's clock minus the local clock.
  const minAheadMs = serverSecond === undefined ? 0 : serverSecond - answeredAt;
  const maxAheadMs = serverSecond === undefined ? 0 : serverSecond + 999 - sentAt;
  const mayAgree = minAheadMs <= 0 && maxAheadMs >= 0;
  return {
    minMs: clamp(expiresAt - answeredAt - (mayAgree ? 0 : maxAheadMs), 0, maxLeaseMs),
    maxMs: clamp(expiresAt - sentAt - minAheadMs, 0, maxLeaseMs),
  };
}

/** The pause before the next heartbeat: a third of the lease, shortened at random by up to a fifth; at most an hour. */
export function heartbeatPauseMs({ minMs, maxMs }: LeaseLength, random = Math.random): number {
  if (maxMs === 0) return overPauseMs;
  return clamp((minMs / 3) * (0.8 + 0.2 * random()), minPauseMs, maxPauseMs);
}

/** Back-off for failed heartbeats. Several attempts fit into the rest of a lease. */
export function heartbeatBackOff(lease: LeaseLength | undefined): BackOff {
  const sixth = (lease?.minMs ?? Number.POSITIVE_INFINITY) / 6;
  const maxMs = Math.min(retryMaxMs, Math.max(minPauseMs, sixth));
  return { firstMs: Math.min(retryFirstMs, maxMs), maxMs };
}

/** Timeout of a heartbeat in whole milliseconds, as deadlines are on the wire. */
export function heartbeatTimeoutMs(lease: LeaseLength | undefined): number {
  const quarter = (lease?.minMs ?? Number.POSITIVE_INFINITY) / 4;
  return Math.round(Math.min(10_000, Math.max(250, quarter)));
}
