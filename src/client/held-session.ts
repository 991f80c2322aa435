import { randomUUID } from "node:crypto";
import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import type { FileInfo } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionModel_State as State } from "../../gen/content/library/item/v1/download_session_pb.ts";
import type { Downlease } from "./connect.ts";
import { DownloadError } from "./download-error.ts";
import { failureReport } from "./failure-report.ts";
import { LeaseKeeper, LeaseLostError } from "./lease-keeper.ts";
import { finalCallTimeoutMs } from "./retry.ts";
import type { RetryLoop } from "./retry-loop.ts";

/** The item has a new content version, and the session is now one of that version. */
export class ItemChangedError extends Error {
  constructor() {
    super("the item has changed");
  }
}

/** What is kept of a session: a token that creates it once, its id, and its content version. */
export interface SessionFacts {
  readonly clientToken?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly contentVersion?: string | undefined;
}

/** Where the facts of the session are kept. */
export interface SessionState {
  readonly session: SessionFacts;
  /** Resolves when they are kept. */
  setSession(session: SessionFacts): Promise<void>;
}

/** Keeps the facts of a session until the process ends. */
export class SessionMemory implements SessionState {
  session: SessionFacts = {};

  async setSession(session: SessionFacts): Promise<void> {
    this.session = session;
  }
}

interface CurrentSession {
  readonly id: string;
  readonly contentVersion: string;
  readonly keeper: LeaseKeeper;
}

/**
 * The download session of a download. It is kept alive, and replaced by a new one if it has expired or was deleted. If
 * another client cancels or fails it, the download ends.
 */
export class HeldSession {
  readonly #server: Downlease;
  readonly #itemId: string;
  readonly #state: SessionState;
  readonly #retryLoop: RetryLoop;
  readonly #onEnded: (error: DownloadError) => void;
  #current: CurrentSession;
  #replacement: Promise<void> | undefined;
  #progress = 0;

  private constructor(options: SessionOptions, current: (session: HeldSession) => CurrentSession) {
    this.#server = options.server;
    this.#itemId = options.itemId;
    this.#state = options.state;
    this.#retryLoop = options.retryLoop;
    this.#onEnded = options.onEnded;
    this.#current = current(this);
  }

  /** Creates a session, or continues that of an earlier run. */
  static async open(options: SessionOptions, signal: AbortSignal): Promise<HeldSession> {
    const created = await createSession(options, signal);
    return new HeldSession(options, (session) => session.#hold(created));
  }

  get contentVersion(): string {
    return this.#current.contentVersion;
  }

  /** Sets the progress in percent that the next heartbeat sends. */
  report(percent: number): void {
    this.#progress = percent;
    this.#current.keeper.report(percent);
  }

  async files(signal: AbortSignal): Promise<FileInfo[]> {
    const list = (downloadSessionId: string, options: CallOptions) =>
      this.#server.files.list({ downloadSessionId }, options);
    return (await this.#callWithSession(list, signal)).files;
  }

  prepare(fileName: string, signal: AbortSignal): Promise<FileInfo> {
    return this.#file(
      (downloadSessionId, options) => this.#server.files.prepare({ downloadSessionId, fileName }, options),
      signal,
    );
  }

  file(fileName: string, signal: AbortSignal): Promise<FileInfo> {
    return this.#file(
      (downloadSessionId, options) => this.#server.files.get({ downloadSessionId, fileName }, options),
      signal,
    );
  }

  /**
   * Checks that the item still has the content version of the session.
   *
   * @throws ItemChangedError if it is not
   */
  async requireUnchanged(signal: AbortSignal): Promise<void> {
    const current = this.#current;
    const { libraryItem } = await this.#retryLoop.call(
      (options) => this.#server.items.get({ libraryItemId: this.#itemId }, options),
      signal,
    );
    if (libraryItem?.contentVersion === current.contentVersion) return;
    await this.#replace(current, signal, async () => {
      await this.#state.setSession({});
      await this.#finish((options) =>
        this.#server.sessions.delete({ downloadSessionId: current.id }, options),
      );
    });
  }

  /** Deletes the session of a complete download. */
  async complete(): Promise<void> {
    const { id, keeper } = this.#current;
    keeper.report(100);
    await keeper[Symbol.asyncDispose]();
    await this.#finish((options) => this.#server.sessions.delete({ downloadSessionId: id }, options));
  }

  /** Ends the session of a download that failed or was aborted. */
  async abandon(failure: unknown): Promise<void> {
    const { id, contentVersion, keeper } = this.#current;
    await keeper[Symbol.asyncDispose]();
    const { sessions } = this.#server;
    await this.#finish((options) =>
      failure instanceof DownloadError && failure.reason === "aborted"
        ? sessions.cancel({ downloadSessionId: id }, options)
        : sessions.fail({ downloadSessionId: id, clientErrorMessage: failureReport(failure) }, options),
    );
    await this.#state.setSession({ contentVersion });
  }

  async #file(
    call: (id: string, options: CallOptions) => Promise<{ file?: FileInfo | undefined }>,
    signal: AbortSignal,
  ): Promise<FileInfo> {
    const { file } = await this.#callWithSession(call, signal);
    if (file === undefined) throw new DownloadError("refused", "the response of the server has no file");
    return file;
  }

  /** Makes a call for the session, and repeats it for a new session if the session is gone. */
  async #callWithSession<T>(
    call: (id: string, options: CallOptions) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    for (let failures = 0; ; failures++) {
      const current = this.#current;
      try {
        return await this.#retryLoop.call((options) => call(current.id, options), signal);
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error;
        if (error.code === Code.FailedPrecondition) throw endedError(error.rawMessage, error);
        if (error.code !== Code.NotFound) throw error;
        const text = `the session is gone (${error.rawMessage})`;
        if (failures > 0) {
          await this.#retryLoop.recordFailure({ text, reason: "lease_lost", cause: error }, failures, signal);
        }
        await this.#replace(current, signal);
      }
    }
  }

  /** Replaces a session that is gone. Concurrent callers share one replacement. */
  async #replace(gone: CurrentSession, signal: AbortSignal, before?: () => Promise<void>): Promise<void> {
    if (this.#current === gone) {
      this.#replacement ??= this.#createReplacement(gone, signal, before).finally(() => {
        this.#replacement = undefined;
      });
      await this.#replacement;
    }
    if (this.#current.contentVersion !== gone.contentVersion) throw new ItemChangedError();
  }

  async #createReplacement(
    gone: CurrentSession,
    signal: AbortSignal,
    before?: () => Promise<void>,
  ): Promise<void> {
    await gone.keeper[Symbol.asyncDispose]();
    await before?.();
    const created = await createSession(
      {
        server: this.#server,
        itemId: this.#itemId,
        state: this.#state,
        retryLoop: this.#retryLoop,
      },
      signal,
    );
    this.#current = this.#hold(created);
  }

  #hold({ id, contentVersion }: Pick<CurrentSession, "id" | "contentVersion">): CurrentSession {
    const keeper = new LeaseKeeper(this.#server, id);
    keeper.report(this.#progress);
    keeper.lost.addEventListener("abort", () => {
      const reason: unknown = keeper.lost.reason;
      // After any other loss the downloads may go on; they fail by themselves if they can't.
      if (reason instanceof LeaseLostError && reason.reason === "ended") {
        this.#onEnded(endedError(reason.message, reason));
      }
    });
    return { id, contentVersion, keeper };
  }

  /** Makes a final call whose failure does not matter: the session expires by itself. */
  async #finish(call: (options: CallOptions) => Promise<unknown>): Promise<void> {
    await call({ timeoutMs: finalCallTimeoutMs }).catch(() => {});
  }
}

export interface SessionOptions {
  readonly server: Downlease;
  readonly itemId: string;
  readonly state: SessionState;
  readonly retryLoop: RetryLoop;
  /** Called when another client has canceled or failed the session. */
  readonly onEnded: (error: DownloadError) => void;
}

/** Creates a session. Its client token is on disk first, so that a crash never loses a session. */
async function createSession(
  { server, itemId, state, retryLoop }: Omit<SessionOptions, "onEnded">,
  signal: AbortSignal,
): Promise<Pick<CurrentSession, "id" | "contentVersion">> {
  for (let failures = 0; ; failures++) {
    const { contentVersion } = state.session;
    const clientToken = state.session.clientToken ?? randomUUID();
    if (state.session.clientToken === undefined) {
      await state.setSession({ clientToken, ...(contentVersion !== undefined && { contentVersion }) });
    }
    const { downloadSessionId: id } = await retryLoop.call(
      (options) => server.sessions.create({ clientToken, createSpec: { libraryItemId: itemId } }, options),
      signal,
    );
    const session = await unlessNotFound(
      retryLoop.call((options) => server.sessions.get({ downloadSessionId: id }, options), signal),
    );
    if (session?.state === State.ACTIVE) {
      const pinned = session.libraryItemContentVersion ?? "";
      await state.setSession({ clientToken, sessionId: id, contentVersion: pinned });
      return { id, contentVersion: pinned };
    }
    // The session was ended by an earlier run or another client, or has expired.
    if (session !== undefined) {
      await state.setSession({ ...(contentVersion !== undefined && { contentVersion }) });
    }
    if (failures > 0) {
      const text = "each new session ends immediately";
      await retryLoop.recordFailure({ text, reason: "lease_lost" }, failures, signal);
    }
  }
}

async function unlessNotFound(answer: ReturnType<Downlease["sessions"]["get"]>) {
  try {
    return (await answer).downloadSession;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return undefined;
    throw error;
  }
}

function endedError(text: string, cause: unknown): DownloadError {
  return new DownloadError("lease_lost", `The session was canceled or failed: ${text}`, { cause });
}
