/** The clock of the server, which decides when a lease ends: the clock of this machine may be wrong. */
export class ServerClock {
  #aheadMs = 0;

  /** @param header `Date` header of a response that has just arrived */
  set(header: string | null): void {
    const date = Date.parse(header ?? "");
    if (Number.isNaN(date)) return;
    // The header has no fractions of a second: it is half a second old on average.
    const aheadMs = date + 500 - Date.now();
    this.#aheadMs = Math.abs(aheadMs) > toleranceMs ? aheadMs : 0;
  }

  /** Milliseconds until a moment of the server's clock. */
  until(moment: Date): number {
    return moment.getTime() - Date.now() - this.#aheadMs;
  }
}

/** Smaller differences come from the rounding of the header and the time that the response took. */
const toleranceMs = 2_000;
