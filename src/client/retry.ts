import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { clamp, maxTimerMs } from "./numbers.ts";

/** Timeout in milliseconds of a call that can be repeated. */
export const callTimeoutMs = 15_000;

/** Timeout in milliseconds of a final call whose result does not matter to the client. */
export const finalCallTimeoutMs = 5_000;

/** Codes of failures after which a call may succeed if it is repeated. Every call of this client may be repeated. */
const retryableCodes: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Aborted,
  // Proxies and crashed servers answer these.
  Code.Unknown,
  Code.Internal,
  // A reset stream has this code.
  Code.Canceled,
]);

/** Codes of network errors. Connect reports some of them like bugs. */
const networkCodes: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EADDRNOTAVAIL",
]);

/** Whether a call that failed with this error may succeed later. */
export function isRetryable(error: unknown): boolean {
  const { code, details } = ConnectError.from(error);
  if (retryableCodes.has(code)) return true;
  // The server limits attempts to log in. A message that is too large has the same code without a delay.
  if (code === Code.ResourceExhausted) return details.length > 0 && retryAfterMs(error) !== undefined;
  return isNetworkError(error);
}

/** Whether the server was unreachable or the connection broke. */
export function isNetworkError(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    if ("code" in cause && networkCodes.has(cause.code)) return true;
  }
  return false;
}

/** Longer delays that a server asks for are cut to this. */
const maxRetryAfterMs = 60_000;

/** The delay that the server asks for in milliseconds, at most a minute; undefined if it asks for none. */
export function retryAfterMs(error: unknown): number | undefined {
  const [info] = ConnectError.from(error).findDetails(RetryInfoSchema);
  const pause = info?.retryDelay;
  if (pause === undefined) return undefined;
  return clamp(Number(pause.seconds) * 1000 + pause.nanos / 1e6, 0, maxRetryAfterMs);
}

/** The same of a `Retry-After` header (RFC 9110, section 10.2.3). */
export function retryAfterHeaderMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : clamp(ms, 0, maxRetryAfterMs);
}

export interface BackOff {
  /** Milliseconds. */
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * The pause before the next attempt in milliseconds. It doubles with each failure up to a maximum, and half of it is
 * random, so that clients that were disconnected together do not return together.
 *
 * @param failures consecutive failures, at least 1
 */
export function backOffMs(failures: number, { firstMs, maxMs }: BackOff, random = Math.random): number {
  const whole = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return whole / 2 + (whole / 2) * random();
}

/** A process that was suspended for long has had no chance to retry, so time alone does not end the attempts. */
const minFailures = 3;

/** Limits how long failures are retried, counted from the first failure after the last progress. */
export class RetryLimit {
  readonly #limitMs: number;
  readonly #now: () => number;
  #failures = 0;
  #since = 0;

  /** @param now milliseconds of a monotonic clock */
  constructor(limitMs: number, now: () => number = () => performance.now()) {
    this.#limitMs = limitMs;
    this.#now = now;
  }

  /** Starts over after progress. */
  reset(): void {
    this.#failures = 0;
  }

  /** Counts a failure. Returns whether to retry. */
  recordFailure(): boolean {
    if (this.#failures === 0) this.#since = this.#now();
    this.#failures += 1;
    return this.#failures < minFailures || this.#now() < this.#since + this.#limitMs;
  }
}

/** Resolves after a delay, at most 24 days; rejects with the reason of the signal if it is aborted before. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, clamp(ms, 0, maxTimerMs));
  const onAbort = () => reject(signal!.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
