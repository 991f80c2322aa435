import { type Patience, silent } from "./patience.ts";

/**
 * Yields from the source until it ends or the signal aborts, even while the source is waiting.
 *
 * @throws ServiceError when the source is silent for too long
 */
export async function* untilAborted<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
  { firstMs, nextMs }: Patience,
): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  let limitMs: number | undefined = firstMs;
  while (!signal.aborted) {
    const next = await unlessAborted(iterator.next(), signal, limitMs);
    if (next === undefined || next.done) return;
    yield next.value;
    limitMs = nextMs;
  }
}

/** Resolves as the promise does, or with undefined as soon as the signal aborts. Rejects after the time limit. */
function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  limitMs: number | undefined,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(undefined);
    signal.addEventListener("abort", onAbort);
    const timer = limitMs === undefined ? undefined : setTimeout(() => reject(silent(limitMs)), limitMs);
    promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    });
  });
}
