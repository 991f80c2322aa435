import { type CallOptions, ConnectError } from "@connectrpc/connect";
import { DownloadError, type DownloadFailure } from "./download-error.ts";
import { backOffMs, mayPass, Patience, pause, retryAfterMs } from "./retry.ts";

const backOff = { firstMs: 200, maxMs: 5_000 };
const callMs = 15_000;
/** What a server asks to wait is not waited for longer than this. */
const maxRetryAfterMs = 60_000;

/** Something that went wrong and may go well the next time. */
export interface Setback {
  /** As the end of a sentence: what it was. */
  readonly text: string;
  /** Why the download fails if this is the last one. */
  readonly reason: DownloadFailure;
  readonly file?: string;
  readonly cause?: unknown;
  readonly retryAfterMs?: number | undefined;
}

/** Tries again, for as long as the patience of a download lasts. */
export class Persistence {
  readonly #patience: Patience;
  readonly #onWait: (text: string) => void;

  /** @param onWait told, in a sentence, what is waited for */
  constructor(patienceMs: number, onWait: (text: string) => void) {
    this.#patience = new Patience(patienceMs);
    this.#onWait = onWait;
  }

  /** The download has got on. */
  renew(): void {
    this.#patience.renew();
  }

  /** Makes a call, again and again while its failures may pass. Other failures are thrown as they are. */
  async call<T>(make: (options: CallOptions) => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let failures = 1; ; failures++) {
      signal.throwIfAborted();
      try {
        return await make({ signal, timeoutMs: callMs });
      } catch (error) {
        signal.throwIfAborted();
        if (!mayPass(error)) throw error;
        const { rawMessage } = ConnectError.from(error);
        const text = `the server does not answer as it should (${rawMessage})`;
        await this.wait(
          { text, reason: "unreachable", cause: error, retryAfterMs: retryAfterMs(error) },
          failures,
          signal,
        );
      }
    }
  }

  /**
   * Waits before the next attempt.
   *
   * @param failures how many there were in a row, 1 at least
   * @throws DownloadError when the patience is over
   */
  async wait(setback: Setback, failures: number, signal: AbortSignal): Promise<void> {
    const { text, reason, file, cause } = setback;
    const about = file === undefined ? text : `${file}: ${text}`;
    if (!this.#patience.bears()) {
      throw new DownloadError(reason, about, { cause, ...(file !== undefined && { file }) });
    }
    const asked = Math.min(setback.retryAfterMs ?? 0, maxRetryAfterMs);
    const pauseMs = Math.max(backOffMs(failures, backOff), asked);
    this.#onWait(`${about}; trying again`);
    await pause(pauseMs, signal);
  }
}
