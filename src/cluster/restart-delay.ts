/** A worker that has served as long as this has not crashed because of how it started. */
export const steadyMs = 60_000;

const firstMs = 100;
const longestMs = 10_000;

/** How long to wait before a worker is replaced that is the `crashes`-th in a row to end too early. */
export function restartDelayMs(crashes: number): number {
  return crashes <= 1 ? 0 : Math.min(longestMs, firstMs * 2 ** (crashes - 2));
}
