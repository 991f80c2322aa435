import { Code, ConnectError } from "@connectrpc/connect";
import type { Downlease } from "./connect.ts";
import { DownloadError } from "./download-error.ts";
import { HeldSession, ItemChangedError, type SessionState } from "./held-session.ts";
import { type DownloadProgress, ProgressBoard } from "./progress.ts";
import { RetryLoop } from "./retry-loop.ts";

export interface RunOptions {
  readonly itemId: string;
  readonly patienceMs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** Runs a download in a session: opens the session, and ends it in the way that the download has ended. */
export class SessionRun {
  readonly board: ProgressBoard;
  readonly retryLoop: RetryLoop;
  readonly #server: Downlease;
  readonly #options: RunOptions;
  readonly #state: SessionState;
  /** Aborted when the download fails or is aborted. */
  readonly #stop = new AbortController();
  #session: HeldSession | undefined;
  #bytesFetched = 0;

  constructor(server: Downlease, options: RunOptions, state: SessionState) {
    this.#server = server;
    this.#options = options;
    this.#state = state;
    const report = (progress: DownloadProgress) => {
      // The server gets 100 only for verified files.
      this.#session?.report(Math.min(99, progress.percent));
      options.onProgress?.(progress);
    };
    this.board = new ProgressBoard(report, (error) => this.#stop.abort(error));
    this.retryLoop = new RetryLoop(options.patienceMs, (text) => this.board.note(text));
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether a session was opened. */
  get hasSession(): boolean {
    return this.#session !== undefined;
  }

  /** Bytes that were received, including repeated ones. */
  get bytesFetched(): number {
    return this.#bytesFetched;
  }

  readonly onFetched = (bytes: number): void => {
    this.#bytesFetched += bytes;
  };

  /**
   * @param work called once more if the item changes; an item that changes all the time can't be downloaded
   * @throws DownloadError
   */
  async run<T>(work: (session: HeldSession) => Promise<T>): Promise<T> {
    const { signal } = this.#options;
    const onAbort = () => this.#stop.abort(abortedError(signal!));
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const session = await this.#open();
      const result = await this.#twice(() => work(session));
      this.board.note(undefined);
      this.board.report();
      await session.complete();
      return result;
    } catch (error) {
      const failure = toDownloadError(error);
      await this.#session?.abandon(failure).catch(() => {});
      throw failure;
    } finally {
      this.board[Symbol.dispose]();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async #open(): Promise<HeldSession> {
    const before = this.#state.session.contentVersion;
    const options = {
      server: this.#server,
      itemId: this.#options.itemId,
      state: this.#state,
      retryLoop: this.retryLoop,
      onEnded: (error: DownloadError) => this.#stop.abort(error),
    };
    this.#session = await HeldSession.open(options, this.signal);
    if (before !== undefined && before !== this.#session.contentVersion) {
      this.board.note("The item has changed since the last run; files that have changed are started over");
    }
    return this.#session;
  }

  async #twice<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ItemChangedError)) throw error;
      this.board.note("The item has changed; files that have changed are started over");
      return await work();
    }
  }
}

export function abortedError(signal: AbortSignal): DownloadError {
  return new DownloadError("aborted", "The download was aborted", { cause: signal.reason });
}

/** Turns a failure into a `DownloadError`. Bugs and errors that `onProgress` throws stay as they are. */
export function toDownloadError(error: unknown): unknown {
  if (error instanceof ItemChangedError) {
    return new DownloadError("changed", "The item has changed twice during the download", {
      cause: error,
    });
  }
  if (!(error instanceof ConnectError)) return error;
  const reason = error.code === Code.NotFound ? "not_found" : "refused";
  return new DownloadError(reason, error.rawMessage, { cause: error });
}
