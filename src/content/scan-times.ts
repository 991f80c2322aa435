const minPauseMs = 1_000;
/** Scans that nobody needs take at most a tenth of the time. */
const pausePerScan = 10;

/** How long a scan is good for, on the clock of `performance.now()`. */
export interface ScanTimes {
  /** When the next one is due although nothing is known to have changed. */
  readonly dueAt: number;
  /** When callers wait for that one. Those who come all the time never do: theirs is made from `dueAt` on. */
  readonly staleAt: number;
}

/** Of a scan that has just ended. */
export function scanTimesSince(startedAt: number): ScanTimes {
  const endedAt = performance.now();
  const pauseMs = Math.max(minPauseMs, pausePerScan * (endedAt - startedAt));
  return { dueAt: endedAt + pauseMs, staleAt: endedAt + 2 * pauseMs };
}
