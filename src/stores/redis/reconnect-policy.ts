/** How connections to Redis fail and come back. Times are in milliseconds. */

/** A command without an answer fails after this time: callers are promised an answer within a second. */
export const commandTimeoutMs = 800;

export const connectTimeoutMs = 1_500;

/** How long a connection that is closed may take to deliver what was sent. */
export const disconnectTimeoutMs = 100;

/** Pause between two attempts while Redis loads its data, and between two connections to a server that takes no writes. */
const refusedDelayMs = 500;
export const maxLoadingDelayMs = 200;

/**
 * Every connection is asked for a sign of life this often, and replaced when it owes one for so many intervals: after
 * 1.25 s at most. Intervals are counted, not time, so that a pause of this process is not taken for one of Redis.
 */
export const heartbeatMs = 250;
export const missedHeartbeats = 4;

/** For subscriptions a second: an end that is not heard is looked up when they are established again. */
export const missedSubscriberHeartbeats = 3;

/** How often the sentinels are asked which server is the master. */
export const sentinelPollMs = 1_000;

/** Pause before an attempt to connect, by its number: how late a Redis is noticed that comes back. */
export function reconnectDelayMs(attempt: number): number {
  return Math.min(attempt * 20, 200);
}

/** Errors of a server that is not, or not yet, the master. A new connection may lead to another one. */
const failoverErrors = ["READONLY", "MASTERDOWN", "LOADING"];

/** Decides for one client when its connection is replaced and when the next attempt begins. */
export class ReconnectPolicy {
  #isRefused = false;

  readonly reconnectOnError = (error: Error): boolean => {
    if (!failoverErrors.some((code) => error.message.startsWith(code))) return false;
    this.#isRefused = true;
    return true;
  };

  readonly retryStrategy = (attempt: number): number => {
    const delayMs = this.#isRefused ? refusedDelayMs : reconnectDelayMs(attempt);
    this.#isRefused = false;
    return delayMs;
  };
}
