import { type ByteRange, ByteRanges } from "./byte-ranges.ts";

/** The bytes that one request fetches. */
export class Segment {
  /** Position in the file of the next byte. */
  position: number;
  /** Position after the last byte. It falls when another connection takes over the rest. */
  end: number;

  constructor({ start, end }: ByteRange) {
    this.position = start;
    this.end = end;
  }

  /** Bytes that have not arrived. */
  get rest(): number {
    return this.end - this.position;
  }
}

const mebibyte = 1024 * 1024;

/** Bytes that one of several connections requests at a time, so that the file is complete from its beginning before long. */
const minShare = 16 * mebibyte;
const maxShare = 64 * mebibyte;

/** A smaller rest is left to the connection that fetches it. */
const minSplitBytes = mebibyte / 2;

/** Which bytes of a file are missing, and which of them have been requested. */
export class Segments {
  /** Of the file in bytes. */
  readonly size: number;
  readonly #requested = new Set<Segment>();
  /** Neither there nor requested. */
  #missing: ByteRanges;

  constructor(size: number) {
    this.size = size;
    this.#missing = new ByteRanges([{ start: 0, end: size }]);
  }

  /** Sets the bytes that are there. No other is requested. */
  reset(there: Iterable<ByteRange>): void {
    this.#requested.clear();
    this.#missing = new ByteRanges([{ start: 0, end: this.size }]);
    for (const { start, end } of there) this.#missing.remove(start, end);
  }

  /** Makes the only segment that is requested one of the whole file. */
  restart(segment: Segment): void {
    this.reset([]);
    this.#missing.remove(0, this.size);
    this.#requested.add(segment);
    segment.position = 0;
    segment.end = this.size;
  }

  /** Bytes that have not arrived. */
  get rest(): number {
    return [...this.#requested].reduce((sum, { rest }) => sum + rest, this.#missing.bytes);
  }

  /** The first missing bytes, up to the next ones that are there; for the only connection. */
  takeFirst(): Segment | undefined {
    return this.#take(Number.POSITIVE_INFINITY);
  }

  /**
   * The missing bytes that one of several connections requests next. If all are requested, it takes over half of what
   * another connection has yet to fetch, if that takes longer than a second.
   *
   * @param connections that share the file
   * @param bytesPerSecond mean rate of one of them
   */
  takeShare(connections: number, bytesPerSecond: number): Segment | undefined {
    const segment = this.#take(this.#shareBytes(connections));
    if (segment !== undefined) return segment;
    let largest: Segment | undefined;
    for (const each of this.#requested) if (each.rest > (largest?.rest ?? 0)) largest = each;
    if (largest === undefined || largest.rest < Math.max(minSplitBytes, bytesPerSecond)) return undefined;
    const middle = largest.position + Math.ceil(largest.rest / 2);
    return this.#request({ start: middle, end: this.#cut(largest, middle) });
  }

  /** Leaves a share to each segment that is requested, and the rest to other connections. */
  share(connections: number): void {
    const share = this.#shareBytes(connections);
    for (const segment of this.#requested) {
      const end = segment.position + share;
      if (end < segment.end) this.#missing.add(end, this.#cut(segment, end));
    }
  }

  /** The request has ended. What it has not got is missing again. */
  giveBack(segment: Segment): void {
    if (this.#requested.delete(segment)) this.#missing.add(segment.position, segment.end);
  }

  #shareBytes(connections: number): number {
    return Math.min(maxShare, Math.max(minShare, Math.ceil(this.rest / connections)));
  }

  #take(maxBytes: number): Segment | undefined {
    const { first } = this.#missing;
    if (first === undefined) return undefined;
    return this.#request({ start: first.start, end: Math.min(first.end, first.start + maxBytes) });
  }

  #request(range: ByteRange): Segment {
    this.#missing.remove(range.start, range.end);
    const segment = new Segment(range);
    this.#requested.add(segment);
    return segment;
  }

  /** Returns the end of before. */
  #cut(segment: Segment, end: number): number {
    const before = segment.end;
    segment.end = end;
    return before;
  }
}
