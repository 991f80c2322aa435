interface Waiting {
  begin(): void;
  refuse(error: unknown): void;
}

/**
 * Long work in pieces: one piece runs at a time, those that wait run in the order of their calls, and between two of
 * them the event loop serves everything else. When a piece fails, those that wait fail with it, because they need the
 * same part: many calls behind a store that does not answer are not refused one after the other.
 */
export class Turns {
  readonly #waiting: Waiting[] = [];
  #isTaken = false;

  async run<T>(piece: () => T | Promise<T>): Promise<T> {
    if (this.#isTaken) {
      await new Promise<void>((begin, refuse) => this.#waiting.push({ begin, refuse }));
    } else this.#isTaken = true;
    try {
      return await piece();
    } catch (error) {
      for (const waiting of this.#waiting.splice(0)) waiting.refuse(error);
      throw error;
    } finally {
      setImmediate(() => this.#next());
    }
  }

  /** Works on items, so many of them in a piece. Resolves with the results of the pieces, in order. */
  async runEach<I, T>(
    items: readonly I[],
    length: number,
    piece: (items: readonly I[]) => T | Promise<T>,
  ): Promise<T[]> {
    const results: T[] = [];
    for (let start = 0; start < items.length; start += length) {
      results.push(await this.run(() => piece(items.slice(start, start + length))));
    }
    return results;
  }

  #next(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#isTaken = false;
    else next.begin();
  }
}
