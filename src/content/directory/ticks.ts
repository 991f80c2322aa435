/** File times move in steps of the kernel's tick, 10 ms at most: two changes within one leave the same time. */
export const tickMs = 20;

/**
 * Whether a file or folder that was modified then may be modified once more and keep that time. A clock of the file
 * system's that is far ahead must not keep anything unsettled for good.
 *
 * @param modifiedMs milliseconds since the epoch
 */
export function isUnsettled(modifiedMs: number): boolean {
  return Math.abs(Date.now() - modifiedMs) < tickMs;
}
