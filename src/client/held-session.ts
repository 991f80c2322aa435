import { randomUUID } from "node:crypto";
import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import type { FileInfo } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionModel_State as State } from "../../gen/content/library/item/v1/download_session_pb.ts";
import type { Downlease } from "./connect.ts";
import { DownloadError } from "./download-error.ts";
import { LeaseKeeper, LeaseLostError } from "./lease-keeper.ts";
import { farewellMs } from "./retry.ts";
import type { Persistence } from "./retry-loop.ts";
import type { StateFile } from "./state-file.ts";

/** The item has another content version now; the session is one of the new version. */
export class ItemChanged extends Error {
  constructor() {
    super("the item has changed");
  }
}

interface Current {
  readonly id: string;
  readonly contentVersion: string;
  readonly keeper: LeaseKeeper;
}

/**
 * The download session of a download, kept alive. When it has expired, or was deleted, another takes its place. When
 * somebody has canceled it, or has failed it, that is the end of the download.
 */
export class HeldSession {
  readonly #server: Downlease;
  readonly #itemId: string;
  readonly #state: StateFile;
  readonly #persistence: Persistence;
  readonly #onEnded: (error: DownloadError) => void;
  #current: Current;
  #replacement: Promise<void> | undefined;
  #progress = 0;

  private constructor(options: SessionOptions, current: (session: HeldSession) => Current) {
    this.#server = options.server;
    this.#itemId = options.itemId;
    this.#state = options.state;
    this.#persistence = options.persistence;
    this.#onEnded = options.onEnded;
    this.#current = current(this);
  }

  /** Creates a session, or finds that of an earlier run. */
  static async open(options: SessionOptions, signal: AbortSignal): Promise<HeldSession> {
    const created = await createSession(options, signal);
    return new HeldSession(options, (session) => session.#hold(created));
  }

  get contentVersion(): string {
    return this.#current.contentVersion;
  }

  /** Tells how far the download is, in percent. */
  report(percent: number): void {
    this.#progress = percent;
    this.#current.keeper.report(percent);
  }

  async files(signal: AbortSignal): Promise<FileInfo[]> {
    const list = (downloadSessionId: string, options: CallOptions) =>
      this.#server.files.list({ downloadSessionId }, options);
    return (await this.#with(list, signal)).files;
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
   * Looks whether the item is still the one that the session is about.
   *
   * @throws ItemChanged when it is not
   */
  async demandUnchanged(signal: AbortSignal): Promise<void> {
    const current = this.#current;
    const { libraryItem } = await this.#persistence.call(
      (options) => this.#server.items.get({ libraryItemId: this.#itemId }, options),
      signal,
    );
    if (libraryItem?.contentVersion === current.contentVersion) return;
    await this.#replace(current, signal, async () => {
      await this.#state.setSession({});
      await this.#farewell((options) =>
        this.#server.sessions.delete({ downloadSessionId: current.id }, options),
      );
    });
  }

  /** The download is complete. */
  async complete(): Promise<void> {
    const { id, keeper } = this.#current;
    keeper.report(100);
    await keeper[Symbol.asyncDispose]();
    await this.#farewell((options) => this.#server.sessions.delete({ downloadSessionId: id }, options));
  }

  /** The download is not completed, at least not now. */
  async abandon(failure: DownloadError): Promise<void> {
    const { id, contentVersion, keeper } = this.#current;
    await keeper[Symbol.asyncDispose]();
    const { sessions } = this.#server;
    await this.#farewell((options) =>
      failure.reason === "aborted"
        ? sessions.cancel({ downloadSessionId: id }, options)
        : sessions.fail({ downloadSessionId: id, clientErrorMessage: failure.message }, options),
    );
    await this.#state.setSession({ contentVersion });
  }

  async #file(
    call: (id: string, options: CallOptions) => Promise<{ file?: FileInfo | undefined }>,
    signal: AbortSignal,
  ): Promise<FileInfo> {
    const { file } = await this.#with(call, signal);
    if (file === undefined) throw new DownloadError("refused", "the server's answer has no file");
    return file;
  }

  /** Makes a call about the session, and about another one when it is gone. */
  async #with<T>(call: (id: string, options: CallOptions) => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let failures = 0; ; failures++) {
      const current = this.#current;
      try {
        return await this.#persistence.call((options) => call(current.id, options), signal);
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error;
        if (error.code === Code.FailedPrecondition) throw endedError(error.rawMessage, error);
        if (error.code !== Code.NotFound) throw error;
        const text = `the session is gone (${error.rawMessage})`;
        if (failures > 0) {
          await this.#persistence.wait({ text, reason: "lease_lost", cause: error }, failures, signal);
        }
        await this.#replace(current, signal);
      }
    }
  }

  /** Puts another session in the place of one that is gone. Who comes meanwhile waits for the same one. */
  async #replace(gone: Current, signal: AbortSignal, before?: () => Promise<void>): Promise<void> {
    if (this.#current === gone) {
      this.#replacement ??= this.#replaced(gone, signal, before).finally(() => {
        this.#replacement = undefined;
      });
      await this.#replacement;
    }
    if (this.#current.contentVersion !== gone.contentVersion) throw new ItemChanged();
  }

  async #replaced(gone: Current, signal: AbortSignal, before?: () => Promise<void>): Promise<void> {
    await gone.keeper[Symbol.asyncDispose]();
    await before?.();
    const created = await createSession(
      {
        server: this.#server,
        itemId: this.#itemId,
        state: this.#state,
        persistence: this.#persistence,
      },
      signal,
    );
    this.#current = this.#hold(created);
  }

  #hold({ id, contentVersion }: Pick<Current, "id" | "contentVersion">): Current {
    const keeper = new LeaseKeeper(this.#server, id);
    keeper.report(this.#progress);
    keeper.lost.addEventListener("abort", () => {
      const reason: unknown = keeper.lost.reason;
      // Whatever else it is, transfers may go on, and find out by themselves when they can't.
      if (reason instanceof LeaseLostError && reason.reason === "ended") {
        this.#onEnded(endedError(reason.message, reason));
      }
    });
    return { id, contentVersion, keeper };
  }

  /** The server forgets a session by itself if this fails. */
  async #farewell(call: (options: CallOptions) => Promise<unknown>): Promise<void> {
    await call({ timeoutMs: farewellMs }).catch(() => {});
  }
}

export interface SessionOptions {
  readonly server: Downlease;
  readonly itemId: string;
  readonly state: StateFile;
  readonly persistence: Persistence;
  /** Told when somebody has canceled the session, or has failed it. */
  readonly onEnded: (error: DownloadError) => void;
}

/** Creates a session with a token that is on the disk before, so that no crash leaves a session behind. */
async function createSession(
  { server, itemId, state, persistence }: Omit<SessionOptions, "onEnded">,
  signal: AbortSignal,
): Promise<Pick<Current, "id" | "contentVersion">> {
  for (let failures = 0; ; failures++) {
    const { contentVersion } = state.session;
    const clientToken = state.session.clientToken ?? randomUUID();
    if (state.session.clientToken === undefined) {
      await state.setSession({ clientToken, ...(contentVersion !== undefined && { contentVersion }) });
    }
    const { downloadSessionId: id } = await persistence.call(
      (options) => server.sessions.create({ clientToken, createSpec: { libraryItemId: itemId } }, options),
      signal,
    );
    const session = await found(
      persistence.call((options) => server.sessions.get({ downloadSessionId: id }, options), signal),
    );
    if (session?.state === State.ACTIVE) {
      const told = session.libraryItemContentVersion ?? "";
      await state.setSession({ clientToken, sessionId: id, contentVersion: told });
      return { id, contentVersion: told };
    }
    // Ended by an earlier run or by somebody else, or expired already.
    if (session !== undefined) {
      await state.setSession({ ...(contentVersion !== undefined && { contentVersion }) });
    }
    if (failures > 0) {
      const text = "sessions end as soon as they are created";
      await persistence.wait({ text, reason: "lease_lost" }, failures, signal);
    }
  }
}

async function found(answer: ReturnType<Downlease["sessions"]["get"]>) {
  try {
    return (await answer).downloadSession;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return undefined;
    throw error;
  }
}

function endedError(text: string, cause: unknown): DownloadError {
  return new DownloadError("lease_lost", `The session was canceled, or has failed: ${text}`, { cause });
}
