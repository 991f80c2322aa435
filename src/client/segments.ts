import { type ByteRange, ByteRanges } from "./byte-ranges.ts";

/** The bytes that one request fetches. */
export class Segment {
  /** Position in the file of the next byte. */
  position: number;
  /** Position after the last byte. It falls when another connection takes over the rest. */
  end: number;
  /** Position after the last byte that was requested. */
  requestedEnd: number;
  readonly #start: number;
  readonly #startedAt: number;

  /** @param now milliseconds of a monotonic clock */
  constructor({ start, end }: ByteRange, now: number) {
    this.#start = start;
    this.#startedAt = now;
    this.position = start;
    this.end = end;
    this.requestedEnd = end;
  }

  /** Bytes a millisecond so far; undefined before the first ones. */
  rate(now: number): number | undefined {
    const bytes = this.position - this.#start;
    return bytes === 0 ? undefined : bytes / Math.max(1, now - this.#startedAt);
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
const minSplitBytes = mebibyte / 4;

/** How fast connections are. */
export interface Pace {
  /** Mean rate of one connection in bytes a millisecond. */
  readonly bytesPerMs: number;
  /** Time from a request to its first bytes in milliseconds. */
  readonly latencyMs: number;
}

/** A rest that takes less than this many latencies is not worth a request. */
const minSplitLatencies = 4;

/** Which bytes of a file are missing, and which of them have been requested. */
export class Segments {
  /** Of the file in bytes. */
  readonly size: number;
  readonly #requested = new Set<Segment>();
  /** Neither there nor requested. */
  #missing: ByteRanges;

  readonly #now: () => number;

  /** @param now milliseconds of a monotonic clock */
  constructor(size: number, now: () => number = () => performance.now()) {
    this.size = size;
    this.#now = now;
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
    segment.requestedEnd = this.size;
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
   * The missing bytes that one of several connections requests next. If all are requested, it takes over a part of what
   * the last one to be done has yet to fetch: so much that both are done at the same time.
   *
   * @param connections that share the file
   */
  takeShare(connections: number, pace: Pace): Segment | undefined {
    return this.#take(this.#shareBytes(connections)) ?? this.#takeOver(pace);
  }

  #takeOver({ bytesPerMs, latencyMs }: Pace): Segment | undefined {
    const now = this.#now();
    let last: { segment: Segment; rate: number; restMs: number } | undefined;
    for (const segment of this.#requested) {
      const rate = segment.rate(now) ?? bytesPerMs;
      const restMs = segment.rest / rate;
      if (segment.rest >= minSplitBytes && restMs > (last?.restMs ?? minSplitLatencies * latencyMs)) {
        last = { segment, rate, restMs };
      }
    }
    if (last === undefined) return undefined;
    const { segment, rate } = last;
    const middle = segment.end - Math.floor((segment.rest * bytesPerMs) / (bytesPerMs + rate));
    const start = Math.max(middle, segment.position + 1);
    return this.#request({ start, end: this.#cut(segment, start) });
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

  /** Leaves missing bytes to the connections that have requested them, too, and would be cut before them. */
  undoShare(): void {
    for (const segment of this.#requested) {
      const next = [...this.#missing].find(({ start }) => start === segment.end);
      if (next === undefined) continue;
      const end = Math.min(next.end, segment.requestedEnd);
      this.#missing.remove(segment.end, end);
      segment.end = end;
    }
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
    const segment = new Segment(range, this.#now());
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
