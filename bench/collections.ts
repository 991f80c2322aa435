/**
 * Keeps garbage collections of the load generator out of what it measures: V8's helper threads take the cores that the
 * measured processes need, and a full collection holds back the calls that are due.
 */

const flags = ["--single-threaded-gc", "--expose-gc"];

/** Replaces the process by one with V8's flags, which V8 only takes when it starts. For the first line of a program. */
export function collectOnOneThread(): void {
  if (process.execArgv.includes(flags[0]!)) return;
  const args = [process.execPath, ...process.execArgv, ...flags, ...process.argv.slice(1)];
  process.execve!(process.execPath, args, process.env);
}

let isCollected = false;

/**
 * Collects all garbage now, as far as the program has called `collectOnOneThread`. Loads that begin together share a
 * collection: that of a second one would hold back the calls of the first.
 */
export function collectGarbage(): void {
  if (isCollected) return;
  globalThis.gc?.();
  isCollected = true;
  setImmediate(() => {
    isCollected = false;
  });
}
