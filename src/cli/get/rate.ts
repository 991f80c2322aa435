/** The rate at which bytes arrive, measured over the last seconds. */
export class Rate {
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  /** @param at milliseconds of a clock that never goes back */
  add(bytes: number, at: number): void {
    // A file was started over: the measurement starts over, too.
    if (bytes < (this.#samples.at(-1)?.bytes ?? 0)) this.#samples.length = 0;
    // The wait for the first bytes does not count.
    if (this.#samples.length === 1 && bytes === this.#samples[0]!.bytes) this.#samples.length = 0;
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && this.#samples[1]!.at < at - windowMs) this.#samples.shift();
  }

  /** Bytes a second; undefined as long as there are too few samples. */
  perSecond(at: number): number | undefined {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || at - first.at < minMs) return undefined;
    if (last.at < at - windowMs) return 0;
    return ((last.bytes - first.bytes) * 1000) / (at - first.at);
  }

  /** Estimated milliseconds until `total` bytes have arrived; undefined without a rate. */
  remainingMs(total: number, at: number): number | undefined {
    const rate = this.perSecond(at);
    const missing = total - (this.#samples.at(-1)?.bytes ?? 0);
    return rate === undefined || rate <= 0 ? undefined : (missing / rate) * 1000;
  }
}

const windowMs = 8_000;
const minMs = 500;
