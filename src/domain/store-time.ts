import { ServiceError } from "./errors.ts";

/** What a caller waits for the backend at most, in milliseconds: a call is promised an answer within about a second. */
const callMs = 1_000;

/**
 * The time that one call may wait for the backend, over all of its requests together. Calls of one request need none:
 * each request has a time limit of its own. Other waiting, as for content, does not count.
 */
export class StoreTime {
  #leftMs = callMs;

  /**
   * The result of a request, if it comes in time. A request that comes too late goes on by itself.
   *
   * @throws ServiceError `downlease.store.unavailable` when the time is over
   */
  async wait<T>(request: Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(tooLate()), Math.max(0, this.#leftMs));
    try {
      return await Promise.race([request, late.promise]);
    } finally {
      clearTimeout(timer);
      this.#leftMs -= performance.now() - startedAt;
    }
  }
}

function tooLate(): ServiceError {
  const cause = new Error(`the requests of the call took longer than ${callMs} ms together`);
  return new ServiceError("downlease.store.unavailable", [], cause);
}
