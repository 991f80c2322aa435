import type { Connection } from "./connection.ts";

/**
 * How much may be under way at a time. More is refused at once, before any work: a call that waits in a long queue
 * is answered too late for its caller, and keeps those behind it from being answered in time.
 *
 * No connection may hold more than its share of what there is, which is all of it divided by the connections that
 * have calls under way. A fifth is kept for connections that have nothing under way, so that a newcomer is let in
 * even while others hold all that they may.
 */
export class Admission {
  readonly #limit: number;
  readonly #limitForBusy: number;
  #load = 0;
  /** Connections that have calls under way. */
  #busy = 0;

  /** @param limit weight of all calls under way */
  constructor(limit: number) {
    this.#limit = limit;
    this.#limitForBusy = Math.max(1, Math.floor(limit * 0.8));
  }

  /** Weight of all calls under way. */
  get load(): number {
    return this.#load;
  }

  /**
   * Whether a call may begin; the caller of this method then owes a `leave` of the same weight. A call that weighs
   * more than its share may begin when nothing else is under way on its connection.
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
