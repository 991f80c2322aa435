import { Admission, type ShareHolder } from "./admission.ts";

/**
 * An `Admission` whose holders have a key instead of an object of their own, for example the address of a client. A
 * holder is kept while it has something in flight, so the limit bounds their number as well.
 */
export class ShareHolders {
  readonly #admission: Admission;
  readonly #byKey = new Map<string, ShareHolder>();

  /** The parameters of `Admission`. */
  constructor(limit: number, maxShare?: number) {
    this.#admission = new Admission(limit, maxShare);
  }

  /** Number of holders that have something in flight. */
  get size(): number {
    return this.#byKey.size;
  }

  /** As `Admission.setLimit`. */
  setLimit(limit: number): void {
    this.#admission.setLimit(limit);
  }

  /** As `Admission.enter`. */
  enter(key: string, weight = 1): boolean {
    const existing = this.#byKey.get(key);
    const holder = existing ?? { load: 0 };
    if (!this.#admission.enter(holder, weight)) return false;
    if (existing === undefined) this.#byKey.set(key, holder);
    return true;
  }

  /** As `Admission.leave`. */
  leave(key: string, weight = 1): void {
    const holder = this.#byKey.get(key);
    if (holder === undefined) return;
    this.#admission.leave(holder, weight);
    if (holder.load === 0) this.#byKey.delete(key);
  }

  /** Whether the holder's own share is used up; false for a newcomer. */
  hasItsShare(key: string): boolean {
    const holder = this.#byKey.get(key);
    return holder !== undefined && this.#admission.hasItsShare(holder);
  }
}
