/**
 * Shares one computation among all callers: it runs once at a time, and begins again no sooner than `intervalMs` after
 * it has ended. Until then every caller gets the last result, or the last failure.
 */
export function atMostEvery<T>(intervalMs: number, compute: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  /** By `performance.now()`; infinite while the computation runs. */
  let endedAt = Number.POSITIVE_INFINITY;
  const markEnd = () => {
    endedAt = performance.now();
  };
  return () => {
    if (result === undefined || performance.now() - endedAt >= intervalMs) {
      endedAt = Number.POSITIVE_INFINITY;
      result = compute();
      result.then(markEnd, markEnd);
    }
    return result;
  };
}
