import { Code, ConnectError } from "@connectrpc/connect";
import {
  heartbeatBackOff,
  heartbeatPauseMs,
  heartbeatTimeoutMs,
  type LeaseLength,
  leaseLength,
} from "./lease.ts";
import { momentOf, percentOf } from "./numbers.ts";
import { printable } from "./printable.ts";
import { backOffMs, finalCallTimeoutMs, isRetryable, pause, retryAfterMs } from "./retry.ts";
import type { ServiceClients } from "./services.ts";

/** The result of a heartbeat. */
export interface Renewal {
  /** When the lease ends, by the server's clock. */
  readonly expiresAt: Date;
  /** Minimum time that the lease lasts from now on, in milliseconds. */
  readonly leaseMs: number;
  /** The progress stored by the server, 0 to 100. */
  readonly progress: number;
}

export interface LeaseKeeperOptions {
  /** Called after each successful heartbeat. */
  readonly onRenewed?: (renewal: Renewal) => void;
  /** Called after each failed heartbeat that will be repeated, with the pause before the next attempt in milliseconds. */
  readonly onRetry?: (error: Error, delayMs: number) => void;
}

/** Why a lease was lost. */
export type LeaseLoss =
  /** The session has expired or was deleted. */
  | "not_found"
  /** The session was canceled or failed. */
  | "ended"
  /** The server rejects the credentials, or the caller lacks permission. */
  | "refused"
  /** No heartbeat succeeded for the length of a lease. */
  | "unreachable";

/** The reason of `LeaseKeeper.lost`. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
  readonly reason: LeaseLoss;

  constructor(reason: LeaseLoss, message: string, cause?: unknown) {
    super(printable(message), cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/**
 * Keeps a download session alive from its construction until it is disposed of or the lease is lost. A process does not
 * exit by itself while it keeps a lease.
 *
 * A heartbeat is sent after each third of the lease. A failed heartbeat is repeated for as long as the lease may last,
 * and once more after that.
 */
export class LeaseKeeper implements AsyncDisposable {
  readonly sessionId: string;
  readonly #server: Pick<ServiceClients, "sessions">;
  readonly #options: LeaseKeeperOptions;
  readonly #lost = new AbortController();
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  #progress = 0;
  /** The highest progress that reached the server. */
  #sentProgress = 0;
  #disposal: Promise<void> | undefined;

  constructor(server: Pick<ServiceClients, "sessions">, sessionId: string, options: LeaseKeeperOptions = {}) {
    this.#server = server;
    this.sessionId = sessionId;
    this.#options = options;
    this.#running = this.#run();
  }

  /** Aborted with a `LeaseLostError` when the lease is lost, but never after the keeper is disposed of. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Sets the progress in percent that the next heartbeat sends. Fractions are cut off; a value below an earlier one is
   * ignored.
   *
   * @throws RangeError if it is not a number from 0 to 100
   */
  report(progress: number): void {
    if (!(progress >= 0 && progress <= 100)) throw new RangeError(`${progress} is not from 0 to 100`);
    this.#progress = Math.max(this.#progress, Math.floor(progress));
  }

  /** Ends the heartbeats; sends the progress if it has risen since the last one. Does not end the session. */
  close(): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #dispose(): Promise<void> {
    this.#ended.abort();
    await this.#running;
    if (this.lost.aborted || this.#sentProgress >= this.#progress) return;
    await this.#server.sessions
      .keepAlive(this.#request(), { timeoutMs: finalCallTimeoutMs })
      // The progress is only informative.
      .catch(() => {});
  }

  async #run(): Promise<void> {
    const ended = this.#ended.signal;
    let lease: LeaseLength | undefined;
    let endsAt = Number.POSITIVE_INFINITY;
    let failures = 0;
    while (!ended.aborted) {
      const startedAt = performance.now();
      const answer = await this.#sendHeartbeat(lease).catch((error: unknown) => ConnectError.from(error));
      if (!(answer instanceof ConnectError)) {
        lease = answer.lease;
        endsAt = performance.now() + lease.maxMs;
        failures = 0;
        const { expiresAt, progress } = answer;
        this.#options.onRenewed?.({ expiresAt, progress, leaseMs: lease.minMs });
        await pause(heartbeatPauseMs(lease), ended).catch(() => {});
        continue;
      }
      if (ended.aborted) return;
      const loss = lossOf(answer, { wasRenewed: lease !== undefined, isOver: startedAt >= endsAt });
      if (loss !== undefined) return this.#lose(loss, answer);
      failures += 1;
      const backOff = heartbeatBackOff(lease);
      const delayMs = Math.max(backOffMs(failures, backOff), retryAfterMs(answer) ?? 0);
      // The last attempt comes right after the latest possible end of the lease.
      const pauseMs = Math.min(delayMs, Math.max(backOff.firstMs, endsAt - performance.now()));
      this.#options.onRetry?.(answer, pauseMs);
      await pause(pauseMs, ended).catch(() => {});
    }
  }

  async #sendHeartbeat(lease: LeaseLength | undefined) {
    const sentAt = Date.now();
    let date: string | null = null;
    const request = this.#request();
    const { expirationTime, clientProgress } = await this.#server.sessions.keepAlive(request, {
      signal: this.#ended.signal,
      timeoutMs: heartbeatTimeoutMs(lease),
      onHeader: (headers) => {
        date = headers.get("date");
      },
    });
    const answeredAt = Date.now();
    this.#sentProgress = Math.max(this.#sentProgress, Number(request.progress));
    const expiresAt = momentOf(expirationTime);
    if (expiresAt === undefined) throw new ConnectError("the answer has no valid expiration_time");
    const serverSecond = Date.parse(date ?? "");
    return {
      expiresAt,
      progress: percentOf(clientProgress),
      lease: leaseLength({
        sentAt,
        answeredAt,
        expiresAt: expiresAt.getTime(),
        serverSecond: Number.isNaN(serverSecond) ? undefined : serverSecond,
      }),
    };
  }

  #request() {
    return { downloadSessionId: this.sessionId, progress: BigInt(this.#progress) };
  }

  #lose(loss: LeaseLoss, cause: ConnectError): void {
    this.#lost.abort(new LeaseLostError(loss, `${lossTexts[loss]}: ${cause.rawMessage}`, cause));
  }
}

const lossTexts: Record<LeaseLoss, string> = {
  not_found: "the session has expired or was deleted",
  ended: "the session was ended by another client",
  refused: "the server refuses the heartbeat",
  unreachable: "no heartbeat succeeded for the length of the lease",
};

/**
 * The loss that a failed heartbeat means; undefined if it is to be repeated.
 *
 * @param wasRenewed whether an earlier heartbeat succeeded
 * @param isOver whether the lease had certainly expired when the heartbeat was sent
 */
function lossOf(
  error: ConnectError,
  { wasRenewed, isOver }: { wasRenewed: boolean; isOver: boolean },
): LeaseLoss | undefined {
  if (error.code === Code.NotFound) return "not_found";
  if (error.code === Code.FailedPrecondition) return "ended";
  if (isRetryable(error)) return isOver ? "unreachable" : undefined;
  // A refusal after a success may be temporary: a token is renewed, signing keys are exchanged.
  return wasRenewed && !isOver ? undefined : "refused";
}
