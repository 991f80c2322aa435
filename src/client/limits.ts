/** How long a download waits, and how fast it may be. */
export interface DownloadLimits {
  /** Fail after this long without progress, in milliseconds; two minutes by default. */
  readonly patienceMs?: number;
  /** Replace a connection that is silent for this long, in milliseconds; 30 seconds by default. */
  readonly idleMs?: number;
  /** Of all files together; unlimited by default. */
  readonly maxBytesPerSecond?: number;
}

/** The limits with their defaults. @throws TypeError if one is invalid */
export function checkLimits({ patienceMs = 120_000, idleMs = 30_000, maxBytesPerSecond }: DownloadLimits) {
  if (!(patienceMs >= 0)) throw new TypeError("patienceMs must be 0 or more");
  if (!(idleMs > 0)) throw new TypeError("idleMs must be more than 0");
  if (maxBytesPerSecond !== undefined && !(maxBytesPerSecond > 0)) {
    throw new TypeError("maxBytesPerSecond must be more than 0");
  }
  return { patienceMs, idleMs, maxBytesPerSecond };
}
