/** Bytes of a file from `start` to before `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A set of bytes of a file: ascending ranges with gaps between them. */
export class ByteRanges implements Iterable<ByteRange> {
  #ranges: { start: number; end: number }[] = [];

  constructor(ranges: Iterable<ByteRange> = []) {
    for (const { start, end } of ranges) this.add(start, end);
  }

  [Symbol.iterator](): Iterator<ByteRange> {
    return this.#ranges.values();
  }

  get first(): ByteRange | undefined {
    return this.#ranges[0];
  }

  /** Number of bytes. */
  get bytes(): number {
    return this.#ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Bytes from the beginning of the file without a gap. */
  get prefix(): number {
    const { first } = this;
    return first?.start === 0 ? first.end : 0;
  }

  add(start: number, end: number): void {
    if (start >= end) return;
    const last = this.#ranges.at(-1);
    if (last?.end === start) {
      last.end = end;
      return;
    }
    const isApart = (range: ByteRange) => range.end < start || range.start > end;
    const joined = { start, end };
    for (const range of this.#ranges) {
      if (isApart(range)) continue;
      joined.start = Math.min(joined.start, range.start);
      joined.end = Math.max(joined.end, range.end);
    }
    this.#ranges = [...this.#ranges.filter(isApart), joined].sort((a, b) => a.start - b.start);
  }

  remove(start: number, end: number): void {
    this.#ranges = this.#ranges.flatMap((range) => {
      const before = { start: range.start, end: Math.min(range.end, start) };
      const after = { start: Math.max(range.start, end), end: range.end };
      return [before, after].filter((part) => part.start < part.end);
    });
  }
}
