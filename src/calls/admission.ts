/** What has a share of a limit, for example a connection. */
export interface ShareHolder {
  /** Weight of what it has in flight; kept by `Admission`. */
  load: number;
}

/**
 * Limits what is in flight, for example calls. What is above the limit is refused at once, before any work: a call that
 * waits in a long queue is answered too late for its caller, and delays the calls behind it.
 *
 * A holder's share is the limit divided by the number of holders that have something in flight; shares count once half
 * of the limit is in use. A fifth of the limit is reserved for holders without anything in flight, so that a newcomer is
 * admitted even while others use all of their shares. A holder's `load` belongs to one `Admission` only.
 */
export class Admission {
  readonly #limit: number;
  readonly #limitForBusy: number;
  #load = 0;
  /** Number of holders that have something in flight. */
  #busy = 0;

  /** @param limit total weight of what may be in flight */
  constructor(limit: number) {
    this.#limit = limit;
    this.#limitForBusy = Math.max(1, Math.floor(limit * 0.8));
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
      : this.#load < this.#limitForBusy &&
        (this.#load < this.#limit / 2 || holder.load < this.#limitForBusy / this.#busy);
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
}

/**
 * Admission for holders that have a name, for example a principal or an address. A name without anything in flight is
 * forgotten.
 */
export class NamedAdmission {
  readonly #admission: Admission;
  readonly #holders = new Map<string, ShareHolder>();

  /** @param limit total number of what may be in flight */
  constructor(limit: number) {
    this.#admission = new Admission(limit);
  }

  /** Total number of what is in flight. */
  get load(): number {
    return this.#admission.load;
  }

  /** Number of names that have something in flight. */
  get holders(): number {
    return this.#holders.size;
  }

  /** A function to call when what begins now has ended, or undefined when it may not begin. */
  enter(name: string): (() => void) | undefined {
    const holder = this.#holders.get(name) ?? { load: 0 };
    if (!this.#admission.enter(holder, 1)) return undefined;
    this.#holders.set(name, holder);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#admission.leave(holder, 1);
      if (holder.load === 0) this.#holders.delete(name);
    };
  }
}
