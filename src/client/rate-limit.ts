/** Bytes may arrive in advance of the rate for this long. */
const burstMs = 100;

/** Limits how many bytes a second are taken by all that share it. */
export class RateLimit {
  readonly #bytesPerMs: number;
  readonly #now: () => number;
  /** When all bytes that were taken have been paid for. */
  #paidAt: number;

  /** @param now milliseconds of a monotonic clock */
  constructor(bytesPerSecond: number, now: () => number = () => performance.now()) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#now = now;
    this.#paidAt = now();
  }

  /** Takes bytes that have arrived. Returns how long to wait in milliseconds before more are read; 0 if they may be at once. */
  take(bytes: number): number {
    const now = this.#now();
    // Time without bytes is not saved up.
    this.#paidAt = Math.max(this.#paidAt, now) + bytes / this.#bytesPerMs;
    const waitMs = this.#paidAt - now;
    return waitMs <= burstMs ? 0 : waitMs;
  }
}
