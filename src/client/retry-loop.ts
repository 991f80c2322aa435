import { type CallOptions, ConnectError } from "@connectrpc/connect";
import { DownloadError, type DownloadFailure } from "./download-error.ts";
import { printable } from "./printable.ts";
import { backOffMs, callTimeoutMs, isRetryable, pause, RetryLimit, retryAfterMs } from "./retry.ts";

const backOff = { firstMs: 200, maxMs: 5_000 };

/** A failure that may not occur again. */
export interface Failure {
  /** What failed, as the end of a sentence. */
  readonly text: string;
  /** Reason of the `DownloadError` if there is no further attempt. */
  readonly reason: DownloadFailure;
  readonly file?: string;
  readonly cause?: unknown;
  readonly retryAfterMs?: number | undefined;
}

/** Retries until a download has made no progress for too long. All parts of a download share it. */
export class RetryLoop {
  readonly #limit: RetryLimit;
  readonly #onWait: (text: string) => void;

  /**
   * @param patienceMs how long to retry without progress
   * @param onWait called before each pause with a sentence that says why
   */
  constructor(patienceMs: number, onWait: (text: string) => void) {
    this.#limit = new RetryLimit(patienceMs);
    this.#onWait = onWait;
  }

  /** The download has made progress. */
  recordProgress(): void {
    this.#limit.reset();
  }

  /** Makes a call, and repeats it as long as its failures are retryable. Other errors are thrown as they are. */
  async call<T>(make: (options: CallOptions) => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let failures = 1; ; failures++) {
      signal.throwIfAborted();
      try {
        return await make({ signal, timeoutMs: callTimeoutMs });
      } catch (error) {
        signal.throwIfAborted();
        if (!isRetryable(error)) throw error;
        const { rawMessage } = ConnectError.from(error);
        const text = `the call to the server failed (${rawMessage})`;
        await this.recordFailure(
          { text, reason: "unreachable", cause: error, retryAfterMs: retryAfterMs(error) },
          failures,
          signal,
        );
      }
    }
  }

  /**
   * Records a failure and waits before the next attempt.
   *
   * @param failures consecutive failures, at least 1
   * @throws DownloadError if there was no progress for too long
   */
  async recordFailure(failure: Failure, failures: number, signal: AbortSignal): Promise<void> {
    const { text, reason, file, cause } = failure;
    const message = printable(file === undefined ? text : `${file}: ${text}`);
    if (!this.#limit.recordFailure()) {
      throw new DownloadError(reason, message, { cause, ...(file !== undefined && { file }) });
    }
    const pauseMs = Math.max(backOffMs(failures, backOff), failure.retryAfterMs ?? 0);
    this.#onWait(`${message}; trying again`);
    await pause(pauseMs, signal);
  }
}
