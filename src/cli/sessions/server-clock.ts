/** The time of the server, for what expires there: the clock of this machine may be wrong. */
export class ServerClock {
  #aheadMs = 0;

  /** @param header `Date` of an answer that has just come */
  heard(header: string | null): void {
    const told = Date.parse(header ?? "");
    if (Number.isNaN(told)) return;
    // The header has no fractions: it is half a second old on average.
    const aheadMs = told + 500 - Date.now();
    this.#aheadMs = Math.abs(aheadMs) > toleranceMs ? aheadMs : 0;
  }

  /** Milliseconds until then. */
  until(moment: Date): number {
    return moment.getTime() - Date.now() - this.#aheadMs;
  }
}

/** Less than this is what the header does not tell and what the answer takes. */
const toleranceMs = 2_000;
