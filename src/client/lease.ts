import type { BackOff } from "./retry.ts";

/**
 * The arithmetic of a lease that is known by the moment at which it ends on the server's clock, which need not be the
 * clock here. All times are milliseconds; `sentAt` and `answeredAt` are of the local wall clock.
 */
export interface HeartbeatAnswer {
  readonly sentAt: number;
  readonly answeredAt: number;
  /** End of the lease on the server's clock. */
  readonly expiresAt: number;
  /** When the server answered by its own clock, which tells whole seconds (`Date` of the answer), if it was told. */
  readonly serverSecond: number | undefined;
}

/** How long the lease holds from the answer on: at least `atLeastMs`, certainly not longer than `atMostMs`. */
export interface LeaseLength {
  readonly atLeastMs: number;
  readonly atMostMs: number;
}

/** Between two heartbeats, at least. */
const leastPauseMs = 50;
const retryFirstMs = 100;
const retryMaxMs = 5_000;

/**
 * How long a lease holds. The server's clock was within the second that it tells at some time between question and
 * answer, so how far the clocks are apart is known to about a second. For the least, clocks that may agree are taken
 * to: most do, and a lease may be shorter than a second.
 */
export function leaseLength({ sentAt, answeredAt, expiresAt, serverSecond }: HeartbeatAnswer): LeaseLength {
  // Server's clock minus ours.
  const leastAhead = serverSecond === undefined ? 0 : serverSecond - answeredAt;
  const mostAhead = serverSecond === undefined ? 0 : serverSecond + 999 - sentAt;
  const mayAgree = leastAhead <= 0 && mostAhead >= 0;
  return {
    atLeastMs: Math.max(0, expiresAt - answeredAt - (mayAgree ? 0 : mostAhead)),
    atMostMs: Math.max(0, expiresAt - sentAt - leastAhead),
  };
}

/** The pause before the next heartbeat: a third of the lease, less up to a fifth of that by chance. */
export function heartbeatPauseMs({ atLeastMs }: LeaseLength, random = Math.random): number {
  return Math.max(leastPauseMs, (atLeastMs / 3) * (0.8 + 0.2 * random()));
}

/** How pauses between repetitions of a heartbeat grow, so that several fit into what is left of a lease. */
export function heartbeatBackOff(lease: LeaseLength | undefined): BackOff {
  const sixth = (lease?.atLeastMs ?? Number.POSITIVE_INFINITY) / 6;
  const maxMs = Math.min(retryMaxMs, Math.max(leastPauseMs, sixth));
  return { firstMs: Math.min(retryFirstMs, maxMs), maxMs };
}

/** How long to wait for the answer to a heartbeat; whole, as deadlines are on the wire. */
export function heartbeatTimeoutMs(lease: LeaseLength | undefined): number {
  const quarter = (lease?.atLeastMs ?? Number.POSITIVE_INFINITY) / 4;
  return Math.round(Math.min(10_000, Math.max(250, quarter)));
}
