/** Enough to hide the latency of a network file system, few enough to leave libuv's threads to others. */
const batchSize = 8;

/** `Promise.all` of a call for each element, a few at a time; no more are begun once one was rejected. */
export async function mapInBatches<T, R>(
  elements: readonly T[],
  call: (element: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < elements.length; start += batchSize) {
    results.push(...(await Promise.all(elements.slice(start, start + batchSize).map(call))));
  }
  return results;
}
