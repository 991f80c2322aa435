/** Spans of time that begin in ascending order; units are the caller's. */
export class IntervalList {
  readonly #begins: number[] = [];
  readonly #ends: number[] = [];

  /** Length of all together. */
  total = 0;

  add(begin: number, end: number): void {
    this.total += end - begin;
    this.#begins.push(begin);
    this.#ends.push(end);
  }

  /** The parts of a span that are in none of the intervals. */
  remove(spans: readonly Span[]): Span[] {
    return spans.flatMap(([begin, end]) => {
      const rest: Span[] = [];
      let from = begin;
      for (let index = this.#firstEndingAfter(begin); index < this.#begins.length; index++) {
        if (this.#begins[index]! >= end) break;
        if (this.#begins[index]! > from) rest.push([from, this.#begins[index]!]);
        from = Math.max(from, this.#ends[index]!);
      }
      if (from < end) rest.push([from, end]);
      return rest;
    });
  }

  /** The intervals do not overlap, so their ends ascend, too. */
  #firstEndingAfter(time: number): number {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! > time) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

export type Span = readonly [begin: number, end: number];

export function lengthOf(spans: readonly Span[]): number {
  return spans.reduce((sum, [begin, end]) => sum + end - begin, 0);
}
