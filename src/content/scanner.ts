const minPauseMs = 1_000;
/** Scans that no caller waits for take at most a tenth of the time. */
const pausePerScan = 10;

/**
 * Runs the scans of a source, one at a time, and keeps the latest result. A result is due for renewal a second after
 * its scan, or ten times as long as that took; it is stale, so that callers wait for the next one, after twice that
 * time. Under steady traffic no caller waits, because a scan in the background starts when it is due.
 */
export class Scanner<T> {
  readonly #scan: (previous: T | undefined) => Promise<T>;
  #latest: T | undefined;
  /** On the clock of `performance.now()`. */
  #dueAt = 0;
  #staleAt = 0;
  /** Whether the next scan has to read everything. */
  #mustBeFull = false;
  #catchUp: Promise<void> | undefined;

  /** @param scan reads the source: only what has changed since the previous result, everything without one */
  constructor(scan: (previous: T | undefined) => Promise<T>) {
    this.#scan = scan;
  }

  get latest(): T | undefined {
    return this.#latest;
  }

  get isDue(): boolean {
    return performance.now() >= this.#dueAt;
  }

  get isStale(): boolean {
    return performance.now() >= this.#staleAt;
  }

  /**
   * Reads what has changed since the latest scan; what is in the source at the time of the call is in the result.
   * Rejects when the source can't be read; the latest result stays.
   */
  readonly update = sharedRuns(async () => {
    const previous = this.#mustBeFull ? undefined : this.#latest;
    this.#mustBeFull = false;
    const startedAt = performance.now();
    this.#latest = await this.#scan(previous);
    if (previous === undefined) this.#scheduleNext(startedAt);
  });

  /** As `update`, and reads everything. */
  rescan(): Promise<void> {
    this.#mustBeFull = true;
    return this.update();
  }

  /** As `rescan`, for callers who do not need the newest changes: they join a catch-up that is already running. */
  catchUp(): Promise<void> {
    this.#catchUp ??= this.rescan().finally(() => {
      this.#catchUp = undefined;
    });
    return this.#catchUp;
  }

  #scheduleNext(startedAt: number): void {
    const endedAt = performance.now();
    const pauseMs = Math.max(minPauseMs, pausePerScan * (endedAt - startedAt));
    this.#dueAt = endedAt + pauseMs;
    this.#staleAt = endedAt + 2 * pauseMs;
  }
}

/**
 * Lets callers share runs of a piece of work. Each caller gets the outcome of a run that began after the call, so the
 * run sees everything that was true before the call. No two runs overlap, however many callers there are.
 */
export function sharedRuns<T>(work: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  const startNext = () => {
    current = next;
    next = undefined;
    return work();
  };
  return () => {
    next ??= Promise.resolve(current).then(startNext, startNext);
    return next;
  };
}
