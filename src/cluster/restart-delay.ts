/** A worker that crashes after serving this long did not crash because of its start. */
export const steadyMs = 60_000;

const minMs = 100;
const maxMs = 10_000;

/** The delay before a worker is replaced, after this many early crashes in a row. */
export function restartDelayMs(crashes: number): number {
  return crashes <= 1 ? 0 : Math.min(maxMs, minMs * 2 ** (crashes - 2));
}
