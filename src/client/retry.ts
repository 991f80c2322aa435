import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";

/** How long a last call may take that changes nothing for whoever makes it, in milliseconds. */
export const farewellMs = 5_000;

/** Codes with which a call fails whose repetition may go well; every call that is made here may be repeated. */
const passingCodes: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Aborted,
  // What proxies and crashed servers answer.
  Code.Unknown,
  Code.Internal,
  // A stream that was reset.
  Code.Canceled,
]);

/** What a network does. Some of these Connect does not tell apart from bugs. */
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

/** Whether a call that failed so may go well later, as far as one can tell. */
export function mayPass(error: unknown): boolean {
  const { code, details } = ConnectError.from(error);
  if (passingCodes.has(code)) return true;
  // Too many attempts to log in; a message that is too large has no such detail.
  if (code === Code.ResourceExhausted) return details.length > 0 && retryAfterMs(error) !== undefined;
  return isNetworkError(error);
}

/** Whether the other side could not be reached, or has not answered in the end. */
export function isNetworkError(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    if ("code" in cause && networkCodes.has(cause.code)) return true;
  }
  return false;
}

/** How long the server asks to wait, in milliseconds, if it does. */
export function retryAfterMs(error: unknown): number | undefined {
  const [info] = ConnectError.from(error).findDetails(RetryInfoSchema);
  const pause = info?.retryDelay;
  if (pause === undefined) return undefined;
  return Math.max(0, Number(pause.seconds) * 1000 + pause.nanos / 1e6);
}

export interface BackOff {
  /** Milliseconds. */
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * The pause before the next attempt, in milliseconds: doubles with each failure up to a greatest, and half of it is
 * chance, so that clients that were cut off together don't come back together.
 *
 * @param failures how many there were in a row, 1 at least
 */
export function backOffMs(failures: number, { firstMs, maxMs }: BackOff, random = Math.random): number {
  const whole = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return whole / 2 + (whole / 2) * random();
}

/** A process that was stopped for long has had no chance to try again. */
const leastFailures = 3;

/** How long to go on with what fails, counted from the first failure after something got on. */
export class Patience {
  readonly #patienceMs: number;
  readonly #now: () => number;
  #failures = 0;
  #since = 0;

  /** @param now milliseconds of a clock that nobody sets */
  constructor(patienceMs: number, now: () => number = () => performance.now()) {
    this.#patienceMs = patienceMs;
    this.#now = now;
  }

  /** Something has got on. */
  renew(): void {
    this.#failures = 0;
  }

  /** Something has failed. False when that is enough. */
  bears(): boolean {
    if (this.#failures === 0) this.#since = this.#now();
    this.#failures += 1;
    return this.#failures < leastFailures || this.#now() < this.#since + this.#patienceMs;
  }
}

/** Resolves after a while; rejects with the signal's reason when it is aborted before. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}
