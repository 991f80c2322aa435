import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Downlease } from "./connect.ts";
import {
  heartbeatBackOff,
  heartbeatPauseMs,
  heartbeatTimeoutMs,
  type LeaseLength,
  leaseLength,
} from "./lease.ts";
import { backOffMs, farewellMs, mayPass, pause, retryAfterMs } from "./retry.ts";

/** What a heartbeat got. */
export interface Renewal {
  /** When the lease ends, by the server's clock. */
  readonly expiresAt: Date;
  /** For how long the lease holds from now on, at least, in milliseconds. */
  readonly leaseMs: number;
  /** The progress that the server has now, 0 to 100. */
  readonly progress: number;
}

export interface LeaseKeeperOptions {
  /** Called after each heartbeat that was answered. */
  readonly onRenewed?: (renewal: Renewal) => void;
  /** Called after each heartbeat that failed and will be repeated, with the pause before in milliseconds. */
  readonly onRetry?: (error: Error, delayMs: number) => void;
}

/** Why a lease is lost. */
export type LeaseLoss =
  /** The session has expired or was deleted. */
  | "not_found"
  /** The session was canceled or has failed. */
  | "ended"
  /** The caller is not known, or may not. */
  | "refused"
  /** No heartbeat has got through for a whole lease. */
  | "unreachable";

/** The reason of `LeaseKeeper.lost`. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
  readonly reason: LeaseLoss;

  constructor(reason: LeaseLoss, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/**
 * Keeps a session alive, beginning at once, until it is disposed of or the lease is lost. A process does not end by
 * itself while it keeps a lease.
 *
 * Heartbeats are sent when a third of the lease has gone by. Those that fail are repeated for as long as the lease may
 * hold, and once more after that.
 */
export class LeaseKeeper implements AsyncDisposable {
  readonly sessionId: string;
  readonly #server: Pick<Downlease, "sessions">;
  readonly #options: LeaseKeeperOptions;
  readonly #lost = new AbortController();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #progress = 0;
  /** What the server is known to have. */
  #told = 0;
  #disposal: Promise<void> | undefined;

  constructor(server: Pick<Downlease, "sessions">, sessionId: string, options: LeaseKeeperOptions = {}) {
    this.#server = server;
    this.sessionId = sessionId;
    this.#options = options;
    this.#running = this.#run();
  }

  /** Aborted when the lease is lost, with a `LeaseLostError`. Not aborted any more once this is disposed of. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Tells how far the client is, in percent, with the next heartbeat. Fractions are left out, and what is less than
   * was told before.
   *
   * @throws RangeError when it is not a number from 0 to 100
   */
  report(progress: number): void {
    if (!(progress >= 0 && progress <= 100)) throw new RangeError(`${progress} is not from 0 to 100`);
    this.#progress = Math.max(this.#progress, Math.floor(progress));
  }

  /** Ends the heartbeats; tells the progress if it has risen since the last. Leaves the session as it is. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    if (this.lost.aborted || this.#told >= this.#progress) return;
    await this.#server.sessions
      .keepAlive(this.#request(), { timeoutMs: farewellMs })
      // The progress is a courtesy.
      .catch(() => {});
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal;
    let lease: LeaseLength | undefined;
    let endsAt = Number.POSITIVE_INFINITY;
    let failures = 0;
    while (!stop.aborted) {
      const begunAt = performance.now();
      const answer = await this.#beat(lease).catch((error: unknown) => ConnectError.from(error));
      if (!(answer instanceof ConnectError)) {
        lease = answer.lease;
        endsAt = performance.now() + lease.atMostMs;
        failures = 0;
        const { expiresAt, progress } = answer;
        this.#options.onRenewed?.({ expiresAt, progress, leaseMs: lease.atLeastMs });
        await pause(heartbeatPauseMs(lease), stop).catch(() => {});
        continue;
      }
      if (stop.aborted) return;
      const loss = lossOf(answer, { known: lease !== undefined, over: begunAt >= endsAt });
      if (loss !== undefined) return this.#lose(loss, answer);
      failures += 1;
      const backOff = heartbeatBackOff(lease);
      const wanted = Math.max(backOffMs(failures, backOff), retryAfterMs(answer) ?? 0);
      // Once more when the lease must be over, and not much later.
      const pauseMs = Math.min(wanted, Math.max(backOff.firstMs, endsAt - performance.now()));
      this.#options.onRetry?.(answer, pauseMs);
      await pause(pauseMs, stop).catch(() => {});
    }
  }

  async #beat(lease: LeaseLength | undefined) {
    const sentAt = Date.now();
    let date: string | null = null;
    const request = this.#request();
    const { expirationTime, clientProgress } = await this.#server.sessions.keepAlive(request, {
      signal: this.#stop.signal,
      timeoutMs: heartbeatTimeoutMs(lease),
      onHeader: (headers) => {
        date = headers.get("date");
      },
    });
    const answeredAt = Date.now();
    this.#told = Math.max(this.#told, Number(request.progress));
    if (expirationTime === undefined) throw new ConnectError("the answer has no expiration_time");
    const expiresAt = timestampDate(expirationTime);
    const serverSecond = Date.parse(date ?? "");
    return {
      expiresAt,
      progress: Number(clientProgress),
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
  ended: "the session was ended by somebody else",
  refused: "the server refuses heartbeats",
  unreachable: "no heartbeat got through for a whole lease",
};

/**
 * @param known whether any heartbeat was answered
 * @param over whether the heartbeat was begun when the lease must have run out
 */
function lossOf(
  error: ConnectError,
  { known, over }: { known: boolean; over: boolean },
): LeaseLoss | undefined {
  if (error.code === Code.NotFound) return "not_found";
  if (error.code === Code.FailedPrecondition) return "ended";
  if (mayPass(error)) return over ? "unreachable" : undefined;
  // What worked may work again: a token that is renewed, keys that are exchanged.
  return known && !over ? undefined : "refused";
}
