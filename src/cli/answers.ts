import pLimit from "p-limit";
import { CliError } from "./failure.ts";

/** Calls in flight at the same time, however many names a server sends. */
const maxParallelCalls = 16;

/** Makes a call for each value, usually an identifier; the results have the order of the values. */
export function callForEach<T, R>(
  values: readonly T[],
  call: (value: T) => Promise<R>,
  parallel = maxParallelCalls,
): Promise<R[]> {
  return pLimit(parallel).map(values, call);
}

/**
 * A field of an answer that every server of this interface sends.
 *
 * @throws CliError if it is missing or not valid
 */
export function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new CliError("failed", `the answer of the server has no valid ${name}`);
  return value;
}
