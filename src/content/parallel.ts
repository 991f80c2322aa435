import pLimit from "p-limit";

/** Enough to hide the latency of a network file system, few enough to leave libuv's threads to others. */
const concurrency = 8;

/** `Promise.all` of a call for each element, a few at a time. Starts no more calls once one has rejected. */
export async function mapInParallel<T, R>(
  elements: readonly T[],
  call: (element: T) => Promise<R>,
): Promise<R[]> {
  const limit = pLimit(concurrency);
  try {
    return await limit.map(elements, call);
  } finally {
    limit.clearQueue();
  }
}
