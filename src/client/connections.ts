import type { ByteRange } from "./byte-ranges.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import type { AcceptedResponse, Fetcher, FetchOutcome, Sink } from "./fetch.ts";
import { type Pace, type Segment, Segments } from "./segments.ts";

/** The file that connections fetch. */
export interface Target {
  /** Of the bytes that are there; undefined if it is unknown or there are none. */
  readonly etag: string | undefined;
  /** Discards all bytes. The next ones belong to the file with this ETag. */
  begin(etag: string | undefined): Promise<void>;
  /** Called before bytes are written that others precede; resolves when they may be. */
  allowGaps(): Promise<void>;
  write(chunk: Uint8Array, position: number): Promise<void> | undefined;
}

interface ConnectionsOptions {
  /** Of the whole file. */
  readonly size: number;
  readonly fetcher: Pick<Fetcher, "fetch">;
  readonly pool: ConnectionPool;
}

/** A smaller rest is left to one connection. */
const minSharedBytes = 16 * 1024 * 1024;

/** Pause before a connection that was refused is opened again, in milliseconds. It doubles each time. */
const firstRefusalMs = 10_000;
const maxRefusalMs = 600_000;
/** Pause before the connections are looked at again, in milliseconds. */
const usualPauseMs = 1_000;

/** One call of `fetch`. */
interface Round {
  readonly link: string;
  readonly startedAt: number;
  /** Ends all requests. */
  readonly stop: AbortController;
  readonly signal: AbortSignal;
  readonly ended: PromiseWithResolvers<void>;
  bytes: number;
  /** How the last connection has ended. */
  outcome: FetchOutcome;
}

/**
 * The connections over which a file is fetched. It begins with one, whose request is for all that is missing. If several
 * pay, that one leaves a part of it to further connections, which request ranges of the same version. A connection that
 * fails leaves its range to the others. Only one that is left alone may start the file over.
 */
export class Connections {
  readonly #target: Target;
  readonly #fetcher: Pick<Fetcher, "fetch">;
  readonly #pool: ConnectionPool;
  readonly #segments: Segments;
  #round: Round | undefined;
  #running = 0;
  /** Whether several connections pay, and gaps are allowed. */
  #isSeveral = false;
  /** Whether the server sends ranges of the file. */
  #hasRanges = true;
  /** The latest response that fits, as long as its bytes count. */
  #accepted: AcceptedResponse | undefined;
  #paceCheck: PaceCheck | undefined;
  /** When a further connection may be opened. */
  #addAt = 0;
  #refusals = 0;

  constructor(target: Target, { size, fetcher, pool }: ConnectionsOptions) {
    this.#target = target;
    this.#fetcher = fetcher;
    this.#pool = pool;
    this.#segments = new Segments(size);
  }

  /** @param there the bytes that the file has */
  reset(there: readonly ByteRange[]): void {
    this.#isSeveral = false;
    this.#segments.reset(there);
  }

  /** Fetches what is missing until it is there or no connection is left. Throws errors of the target and the reason of the signal. */
  async fetch(link: string, signal: AbortSignal): Promise<FetchOutcome> {
    const first = this.#segments.takeFirst();
    if (first === undefined) return { outcome: "complete" };
    const stop = new AbortController();
    const round: Round = {
      link,
      startedAt: performance.now(),
      stop,
      signal: AbortSignal.any([signal, stop.signal]),
      ended: Promise.withResolvers(),
      bytes: 0,
      outcome: { outcome: "complete" },
    };
    this.#round = round;
    void this.#run(first, round);
    await round.ended.promise;
    this.#round = undefined;
    stop.signal.throwIfAborted();
    if (this.#segments.rest === 0) return { outcome: "complete" };
    // Between two requests nobody else notices it.
    signal.throwIfAborted();
    return round.outcome;
  }

  async #runFurther(segment: Segment, round: Round): Promise<void> {
    await this.#run(segment, round);
    this.#pool.leaveFurther();
  }

  /** One connection: requests segments until nothing is left or a request fails. */
  async #run(first: Segment, round: Round): Promise<void> {
    this.#running += 1;
    let segment: Segment | undefined = first;
    try {
      while (segment !== undefined) {
        const start = segment.position;
        const outcome = await this.#fetcher.fetch(round.link, this.#sink(segment, round), round.signal);
        this.#segments.giveBack(segment);
        if (outcome.outcome !== "complete") {
          round.outcome = outcome;
          if (this.#running > 1) this.#recordEnd(outcome, segment.position > start);
          return;
        }
        this.#refusals = 0;
        segment = this.#next(round);
      }
      this.#pause(usualPauseMs);
    } catch (error) {
      round.stop.abort(error);
    } finally {
      if (segment !== undefined) this.#segments.giveBack(segment);
      this.#running -= 1;
      if (this.#running === 0) round.ended.resolve();
    }
  }

  #sink(segment: Segment, round: Round): Sink {
    const [connections, target, segments] = [this, this.#target, this.#segments];
    const size = this.#segments.size;
    return {
      get position() {
        return segment.position;
      },
      get end() {
        return segment.end;
      },
      size,
      get etag() {
        return target.etag;
      },
      get isShared() {
        return connections.#running > 1;
      },
      async begin(etag) {
        connections.#isSeveral = false;
        connections.#accepted = undefined;
        await target.begin(etag);
        segments.restart(segment);
      },
      accepted: (response) => this.#accept(response, round),
      write(chunk) {
        const at = segment.position;
        segment.position += chunk.length;
        round.bytes += chunk.length;
        const room = target.write(chunk, at);
        connections.#consider(round);
        return room;
      },
    };
  }

  #next(round: Round): Segment | undefined {
    if (round.signal.aborted) return undefined;
    return this.#running === 1
      ? this.#segments.takeFirst()
      : this.#segments.takeShare(this.#pool.perFile, this.#paceOf(round));
  }

  #paceOf({ bytes, startedAt }: Round): Pace {
    const elapsedMs = Math.max(1, performance.now() - startedAt);
    return {
      bytesPerMs: Math.max(1, bytes / elapsedMs / this.#running),
      latencyMs: this.#accepted?.latencyMs ?? 0,
    };
  }

  #accept(response: AcceptedResponse, round: Round): void {
    const { latencyMs, hasRanges } = response;
    this.#paceCheck = undefined;
    this.#accepted = response;
    const { perFile, isChosen } = this.#pool;
    if (this.#running > 1 || perFile === 1 || !hasRanges || !this.#hasRanges) return;
    if (this.#isSeveral) this.#grow(round);
    else if (this.#segments.rest < minSharedBytes) return;
    else if (!isChosen) void this.#becomeSeveral(round);
    else if (latencyMs >= minLatencyMs) this.#paceCheck = new PaceCheck(latencyMs, round.bytes);
  }

  /** Called with each chunk: opens further connections if they pay. */
  #consider(round: Round): void {
    const pays = this.#paceCheck?.pays(round.bytes);
    if (pays !== undefined) {
      this.#paceCheck = undefined;
      if (pays) void this.#becomeSeveral(round);
    } else if (this.#isSeveral && this.#running < this.#pool.perFile) this.#grow(round);
  }

  async #becomeSeveral(round: Round): Promise<void> {
    const response = this.#accepted;
    try {
      await this.#target.allowGaps();
      // Meanwhile the connection may have ended, or the file may have been started over.
      if (this.#round !== round || this.#accepted !== response) return;
      this.#isSeveral = true;
      this.#grow(round);
    } catch (error) {
      round.stop.abort(error);
    }
  }

  /** Opens further connections. The only one leaves a part of what it has requested to them. */
  #grow(round: Round): void {
    const { perFile } = this.#pool;
    if (!this.#hasRanges || round.signal.aborted || performance.now() < this.#addAt) return;
    while (this.#running < perFile && this.#pool.enterFurther()) {
      if (this.#running === 1) this.#segments.share(perFile);
      const segment = this.#segments.takeShare(perFile, this.#paceOf(round));
      if (segment === undefined) {
        this.#pool.leaveFurther();
        this.#pause(usualPauseMs);
        return;
      }
      void this.#runFurther(segment, round);
    }
  }

  /**
   * A connection has failed. As long as there are others that is no failure of the download: the server or the line bears
   * no more of them.
   */
  #recordEnd({ outcome }: FetchOutcome, hasBytes: boolean): void {
    if (outcome === "unfit") this.#hasRanges = false;
    if (!hasBytes) this.#segments.undoShare();
    this.#refusals = hasBytes ? 0 : this.#refusals + 1;
    this.#pause(hasBytes ? usualPauseMs : firstRefusalMs * 2 ** Math.min(this.#refusals - 1, 30));
  }

  #pause(ms: number): void {
    this.#addAt = Math.max(this.#addAt, performance.now() + Math.min(ms, maxRefusalMs));
  }
}

/** A response that takes at least this long to begin comes from far away. */
const minLatencyMs = 20;

/** A connection with this rate needs no others. */
const enoughBytesPerMs = 50_000;

/**
 * Decides whether several connections pay. On a long line the window of a connection limits it for a while, and after
 * each lost packet again. So they pay if the first bytes take long, and in the same time after them few follow.
 */
export class PaceCheck {
  readonly #latencyMs: number;
  readonly #bytesBefore: number;
  readonly #now: () => number;
  readonly #startedAt: number;

  /** @param now milliseconds of a monotonic clock */
  constructor(latencyMs: number, bytesBefore: number, now: () => number = () => performance.now()) {
    this.#latencyMs = latencyMs;
    this.#bytesBefore = bytesBefore;
    this.#now = now;
    this.#startedAt = now();
  }

  /** @param bytes that have arrived by now; undefined while it is too early to say */
  pays(bytes: number): boolean | undefined {
    const elapsedMs = this.#now() - this.#startedAt;
    if (elapsedMs < this.#latencyMs) return undefined;
    return bytes - this.#bytesBefore < elapsedMs * enoughBytesPerMs;
  }
}
