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
  readonly #loads = new Map<object, number>();
  #total = 0;

  /** @param limit weight of all calls under way */
  constructor(limit: number) {
    this.#limit = limit;
    this.#limitForBusy = Math.max(1, Math.floor(limit * 0.8));
  }

  /** Weight of all calls under way. */
  get load(): number {
    return this.#total;
  }

  /**
   * Whether a call may begin; the caller of this method then owes a `leave` of the same weight. A call that weighs
   * more than what there is may begin when nothing else is under way on its connection.
   */
  enter(connection: object, weight: number): boolean {
    const own = this.#loads.get(connection);
    const isAdmitted =
      own === undefined
        ? this.#total < this.#limit
        : this.#total < this.#limitForBusy && own < this.#limitForBusy / this.#loads.size;
    if (!isAdmitted) return false;
    this.#total += weight;
    this.#loads.set(connection, (own ?? 0) + weight);
    return true;
  }

  leave(connection: object, weight: number): void {
    this.#total -= weight;
    const left = (this.#loads.get(connection) ?? 0) - weight;
    if (left > 0) this.#loads.set(connection, left);
    else this.#loads.delete(connection);
  }
}
