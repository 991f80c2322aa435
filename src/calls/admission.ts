import type { Connection } from "./connection.ts";

/**
 * Limits the calls in flight. Calls above the limit are refused at once, before any work: a call that waits in a long
 * queue is answered too late for its caller, and delays the calls behind it.
 *
 * A connection's share is the limit divided by the number of connections that have calls in flight. A fifth of the
 * limit is reserved for connections without calls in flight, so that a new connection is admitted even while others
 * use all of their shares.
 */
export class Admission {
  readonly #limit: number;
  readonly #limitForBusy: number;
  #load = 0;
  /** Number of connections that have calls in flight. */
  #busy = 0;

  /** @param limit total weight of the calls in flight */
  constructor(limit: number) {
    this.#limit = limit;
    this.#limitForBusy = Math.max(1, Math.floor(limit * 0.8));
  }

  /** Total weight of the calls in flight. */
  get load(): number {
    return this.#load;
  }

  /**
   * Whether a call may begin; if so, `leave` must be called with the same weight when it ends. A call that weighs more
   * than the connection's share may begin when it is the only one on its connection.
   */
  enter(connection: Connection, weight: number): boolean {
    const isNew = connection.load === 0;
    const isAdmitted = isNew
      ? this.#load < this.#limit
      : this.#load < this.#limitForBusy && connection.load < this.#limitForBusy / this.#busy;
    if (!isAdmitted) return false;
    if (isNew) this.#busy++;
    connection.load += weight;
    this.#load += weight;
    return true;
  }

  leave(connection: Connection, weight: number): void {
    connection.load -= weight;
    this.#load -= weight;
    if (connection.load === 0) this.#busy--;
  }
}
