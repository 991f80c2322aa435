import { AsyncLocalStorage } from "node:async_hooks";
import type { Backend } from "../domain/backend.ts";
import { isWithheld } from "../domain/preparation.ts";
import type { PreparationStore } from "../domain/preparation-store.ts";
import type { LeaseTerms } from "../domain/session.ts";
import type { SessionFileStore } from "../domain/session-file-store.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { linkBearer } from "./links.ts";
import { type ActiveDownload, SessionDownloads } from "./session-downloads.ts";

export interface DownloadsOptions {
  readonly files: Pick<SessionFileStore, "recordSent">;
  readonly ends: Pick<Backend, "watchEnds">;
  readonly sessions: Pick<SessionStore, "get">;
  readonly preparations: Pick<PreparationStore, "find">;
  /** Read at each use, because it may change. */
  readonly terms: Pick<LeaseTerms, "leaseMs">;
  /** How long a download may be without any progress. */
  readonly stallMs: number;
}

/**
 * Pause between checks of all sessions while announcements of their ends may be missing, and between checks of files that
 * are sent before they are verified, in milliseconds.
 */
const checkMs = 500;

/**
 * Sessions that are kept. Beyond the active ones these are sessions whose last bytes the store has not yet recorded
 * because it does not answer; the oldest of them gives way, with those bytes.
 */
const maxSessions = 10_000;

/** How long `close` waits for the store, which answers by then if it can be reached, in milliseconds. */
const closeMs = 1_000;

/**
 * The active downloads of this process, by session. Keeps a session alive while its bytes move, and cuts its downloads
 * when it ends. Without downloads no timer runs.
 */
export class Downloads {
  readonly #options: DownloadsOptions;
  readonly #bySession = new Map<string, SessionDownloads>();
  readonly #ends;
  #timer: NodeJS.Timeout | undefined;
  /** Of the timer. */
  #tickMs = 0;
  #checkedAt = 0;
  #verifiedAt = 0;
  #isVerifying = false;
  #isStopping = false;
  /** Called when nothing is left to be recorded. */
  #onSettled: (() => void) | undefined;

  constructor(options: DownloadsOptions) {
    this.#options = options;
    this.#ends = options.ends.watchEnds(
      (sessionId) => this.#bySession.get(sessionId)?.cut("session_ended"),
      // Sessions that ended before may not have been announced.
      () => this.#checkAll(),
    );
  }

  /** Begins to watch a download and its session. The caller must end it. */
  begin(sessionId: string, fileName: string): ActiveDownload {
    let session = this.#bySession.get(sessionId);
    if (session === undefined) {
      if (this.#bySession.size >= maxSessions) this.#forgetOldestIdle();
      session = new SessionDownloads(
        sessionId,
        this.#options.files,
        this.#options.terms,
        this.#onSessionSettled,
      );
      this.#bySession.set(sessionId, session);
    }
    if (this.#timer === undefined) this.#startTimer();
    const download = session.begin(fileName);
    if (this.#isStopping) download.cut("server_stopping");
    return download;
  }

  end(download: ActiveDownload): void {
    download.session.end(download);
  }

  /** Number of sessions that are kept. */
  get size(): number {
    return this.#bySession.size;
  }

  /** Cuts all downloads, and those that begin later. */
  cutAll(): void {
    this.#isStopping = true;
    for (const session of this.#bySession.values()) session.cut("server_stopping");
  }

  /** Resolves when all sent bytes have been recorded, or soon when that is impossible. The store may be closed then. */
  async close(): Promise<void> {
    this.#ends.stop();
    if (this.#bySession.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onSettled = resolve;
      setTimeout(resolve, closeMs).unref();
    });
    clearInterval(this.#timer);
  }

  get #dueTickMs(): number {
    const { terms, stallMs } = this.#options;
    return Math.max(10, Math.min(checkMs, terms.leaseMs / 8, stallMs / 4));
  }

  #startTimer(): void {
    clearInterval(this.#timer);
    this.#tickMs = this.#dueTickMs;
    this.#timer = setInterval(this.#tick, this.#tickMs).unref();
  }

  /** In the context of the service, not of the download whose request has started the timer. */
  readonly #tick = AsyncLocalStorage.bind((): void => {
    const now = performance.now();
    if (this.#dueTickMs !== this.#tickMs) this.#startTimer();
    for (const session of this.#bySession.values()) session.tick(now, this.#options.stallMs);
    if (!this.#ends.isReliable && now - this.#checkedAt >= checkMs) this.#checkAll();
    if (now - this.#verifiedAt >= checkMs) void this.#verifyFiles(now);
  });

  /** Cuts the downloads of files whose checksums have turned out to be wrong, whichever process has computed them. */
  async #verifyFiles(now: number): Promise<void> {
    this.#verifiedAt = now;
    if (this.#isVerifying) return;
    const downloads = [...this.#bySession.values()].flatMap(({ unverified }) => unverified);
    if (downloads.length === 0) return;
    this.#isVerifying = true;
    try {
      const files = await this.#options.preparations.find(downloads.map(({ unverified }) => unverified!));
      for (const [index, download] of downloads.entries()) {
        const preparation = files[index];
        if (preparation?.status === "PREPARED") download.unverified = undefined;
        else if (preparation !== undefined && isWithheld(preparation)) download.cut("checksum_mismatch");
      }
    } catch {
      // A store that does not answer; the next check follows soon.
    } finally {
      this.#isVerifying = false;
    }
  }

  #checkAll(): void {
    this.#checkedAt = performance.now();
    for (const session of this.#bySession.values()) void this.#check(session);
  }

  async #check(session: SessionDownloads): Promise<void> {
    if (session.isBeingChecked) return;
    session.isBeingChecked = true;
    try {
      const current = await this.#options.sessions.get(session.id, linkBearer);
      if (current?.state !== "ACTIVE") session.cut("session_ended");
    } catch {
      // Whether the session has ended is unknown; the next check follows soon.
    } finally {
      session.isBeingChecked = false;
    }
  }

  #forgetOldestIdle(): void {
    for (const session of this.#bySession.values()) {
      if (session.isActive) continue;
      this.#bySession.delete(session.id);
      return;
    }
  }

  readonly #onSessionSettled = (session: SessionDownloads): void => {
    if (this.#bySession.get(session.id) === session) this.#bySession.delete(session.id);
    if (this.#bySession.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#onSettled?.();
  };
}
