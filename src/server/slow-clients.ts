import type { Limits } from "./limits.ts";

/** Bytes of answers that wait until their client takes them. */
export interface Backlog {
  /** A stream of HTTP/2 or a connection of HTTP/1. */
  readonly holder: object;
  readonly bytes: number;
  /** When the client has taken a part of an answer that goes on, by `performance.now()`; 0 if that is not known. */
  readonly takenAt?: number;
  /** Gives the answers up. Called again while the backlog is still there. */
  cut(): void;
}

interface Waiting extends Backlog {
  /** Its bytes and what else it costs. */
  readonly cost: number;
  /** When it was first seen, later by a millisecond for each byte that its client has taken since. */
  readonly since: number;
}

/** What an answer that waits costs besides its bytes, by measurement. */
const overheadBytes = 8192;

/** An answer may wait for so long before it is ended for want of room, in milliseconds: its client may be reading. */
const graceMs = 200;

/**
 * Ends answers that their clients do not take: those that wait for longer than the time limit, which a client that takes
 * less than 1,000 bytes a second reaches as well, and, when all that wait
 * are more than the process has room for, those that have waited longest. Twice as much is never exceeded, not even by
 * answers that have only just begun to wait.
 */
export class SlowClients {
  readonly #limits: Pick<Limits, "takeMs" | "maxUnsentBytes">;
  #waiting: ReadonlyMap<object, Waiting> = new Map();

  constructor(limits: Pick<Limits, "takeMs" | "maxUnsentBytes">) {
    this.#limits = limits;
  }

  /** @param backlogs all of the process */
  check(backlogs: Iterable<Backlog>): void {
    const { takeMs, maxUnsentBytes } = this.#limits;
    const now = performance.now();
    const waiting = new Map<object, Waiting>();
    let total = 0;
    for (const { holder, bytes, takenAt = 0, cut } of backlogs) {
      const before = this.#waiting.get(holder);
      const taken = before === undefined ? 0 : Math.max(0, before.bytes - bytes);
      const since = before === undefined ? now : Math.min(now, Math.max(before.since + taken, takenAt));
      const cost = since === now ? bytes : bytes + overheadBytes;
      waiting.set(holder, { holder, bytes, cost, cut, since });
      total += cost;
    }
    this.#waiting = waiting;
    const oldestFirst = [...waiting.values()].sort((a, b) => a.since - b.since || b.bytes - a.bytes);
    for (const { since, cost, cut } of oldestFirst) {
      const age = now - since;
      const room = age < graceMs ? 2 * maxUnsentBytes : maxUnsentBytes;
      if (age < takeMs && total <= room) return;
      cut();
      total -= cost;
    }
  }
}
