import type { Downlease } from "./connect.ts";

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

/** Keeps a session alive. The first heartbeat is sent at once. */
export class LeaseKeeper implements AsyncDisposable {
  readonly sessionId: string;
  readonly #lost = new AbortController();

  constructor(_server: Pick<Downlease, "sessions">, sessionId: string, _options: LeaseKeeperOptions = {}) {
    this.sessionId = sessionId;
  }

  /** Aborted when the lease is lost, with a `LeaseLostError`. Never aborted after this was disposed of. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Tells how far the client is, 0 to 100, with the next heartbeat. Less than was told before counts for nothing. */
  report(_progress: number): void {}

  /** Ends the heartbeats; tells the last progress if it has not been told. Leaves the session as it is. */
  async [Symbol.asyncDispose](): Promise<void> {}
}
