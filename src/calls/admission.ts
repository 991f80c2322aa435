/** What has a share of a limit, for example a connection. */
export interface ShareHolder {
  /** Weight of what it has in flight; kept by `Admission`. */
  load: number;
}

/** The rest is reserved for newcomers. */
const maxShareOfAll = 0.8;

/**
 * Limits what is in flight, for example calls. What is above the limit is refused at once, before any work: a call that
 * waits in a long queue is answered too late for its caller, and delays the calls behind it.
 *
 * A holder's share is the limit divided by the number of holders that have something in flight; shares count once half
 * of the limit is in use. A fifth of the limit is reserved for holders without anything in flight, so that a newcomer is
 * admitted even while others use all of their shares. A holder's `load` belongs to one `Admission` only.
 */
export class Admission {
  readonly #maxShareOfLimit: number;
  #limit = 0;
  #limitForBusy = 0;
  #maxShare = 0;
  #load = 0;
  /** Number of holders that have something in flight. */
  #busy = 0;

  /**
   * @param limit total weight of what may be in flight
   * @param maxShare part of the limit that one holder may have while there is no other, at most 0.8
   */
  constructor(limit: number, maxShare = maxShareOfAll) {
    this.#maxShareOfLimit = maxShare;
    this.setLimit(limit);
  }

  /** Counts from now on. What is in flight beyond it stays, and nothing is admitted until enough of it has ended. */
  setLimit(limit: number): void {
    this.#limit = limit;
    this.#limitForBusy = partOf(limit, maxShareOfAll);
    this.#maxShare = partOf(limit, this.#maxShareOfLimit);
  }

  /** Total weight of what is in flight. */
  get load(): number {
    return this.#load;
  }

  /**
   * Whether a call may begin; if so, `leave` must be called with the same weight when it ends. A call that weighs more
   * than the holder's share may begin when it is the holder's only one.
   */
  enter(holder: ShareHolder, weight: number): boolean {
    const isNew = holder.load === 0;
    const isAdmitted = isNew
      ? this.#load < this.#limit
      : this.#load < this.#limitForBusy && !this.hasItsShare(holder);
    if (!isAdmitted) return false;
    if (isNew) this.#busy++;
    holder.load += weight;
    this.#load += weight;
    return true;
  }

  leave(holder: ShareHolder, weight: number): void {
    holder.load -= weight;
    this.#load -= weight;
    if (holder.load === 0) this.#busy--;
  }

  /** Whether a holder that has something in flight has all that its share allows. */
  hasItsShare({ load }: ShareHolder): boolean {
    const isScarce = this.#load >= this.#limit / 2;
    return load >= this.#maxShare || (isScarce && load >= this.#limitForBusy / this.#busy);
  }
}

function partOf(limit: number, part: number): number {
  return Math.max(1, Math.floor(limit * part));
}
