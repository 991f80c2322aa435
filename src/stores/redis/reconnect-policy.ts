/** How connections to Redis fail and come back. Times are in milliseconds. */

/** A command without an answer fails after this time: callers are promised an answer within a second. */
export const commandTimeoutMs = 800;

export const connectTimeoutMs = 2_000;

/** Pause before an attempt to connect, by its number: how late a Redis is noticed that comes back. */
export function reconnectDelayMs(attempt: number): number {
  return Math.min(attempt * 20, 200);
}

/** Whether an error shows that another server is the master now, which a new connection would find. */
export function isFailover(error: Error): boolean {
  return error.message.startsWith("READONLY");
}

/** An idle subscription is probed this often, so that a dead one is noticed and no network drops a silent one. */
export const probeMs = 15_000;
