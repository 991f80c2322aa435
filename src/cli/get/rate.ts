/** How fast bytes come, over the last seconds. */
export class Rate {
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  /** @param at milliseconds, never less than before */
  add(bytes: number, at: number): void {
    // What has to be fetched again has not come: the rate begins anew.
    if (bytes < (this.#samples.at(-1)?.bytes ?? 0)) this.#samples.length = 0;
    // What is waited for until the first bytes come says nothing about how fast they do.
    if (this.#samples.length === 1 && bytes === this.#samples[0]!.bytes) this.#samples.length = 0;
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && this.#samples[1]!.at < at - windowMs) this.#samples.shift();
  }

  /** Bytes a second; undefined when nothing is known yet. */
  perSecond(at: number): number | undefined {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || at - first.at < leastMs) return undefined;
    if (last.at < at - windowMs) return 0;
    return ((last.bytes - first.bytes) * 1000) / (at - first.at);
  }

  /** Milliseconds until `total` bytes are there; undefined when that can't be told. */
  remainingMs(total: number, at: number): number | undefined {
    const rate = this.perSecond(at);
    const missing = total - (this.#samples.at(-1)?.bytes ?? 0);
    return rate === undefined || rate <= 0 ? undefined : (missing / rate) * 1000;
  }
}

const windowMs = 8_000;
const leastMs = 500;
