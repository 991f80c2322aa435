import pLimit from "p-limit";

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
