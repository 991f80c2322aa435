import type { Backend } from "../domain/backend.ts";
import type { SessionFileStore } from "../domain/session-file-store.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { linkBearer } from "./link-bearer.ts";
import { SessionDownloads, type ActiveDownload } from "./session-downloads.ts";

export interface DownloadsOptions {
  readonly files: Pick<SessionFileStore, "recordSent">;
  readonly ends: Pick<Backend, "watchEnds">;
  readonly sessions: Pick<SessionStore, "get">;
  readonly leaseMs: number;
  /** For how long a transfer may be without any progress. */
  readonly stallMs: number;
  /** Downloads at a time. */
  readonly limit: number;
}

/** How often sessions are looked at whose ends may not be told, in milliseconds. */
const lookMs = 500;

/** A store that is there has answered by then. */
const closeMs = 1_000;

/**
 * The running transfers of this process, by session. Sees to it that a session lives while its bytes move, and that its
 * transfers do not outlive it. Without transfers it does nothing at all.
 */
export class Downloads {
  readonly #options: DownloadsOptions;
  readonly #bySession = new Map<string, SessionDownloads>();
  readonly #ends;
  readonly #tickMs: number;
  #running = 0;
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = 0;
  #isStopping = false;
  /** Told when nothing is left to be recorded. */
  #onSettled: (() => void) | undefined;

  constructor(options: DownloadsOptions) {
    this.#options = options;
    this.#tickMs = Math.max(10, Math.min(lookMs, options.leaseMs / 8, options.stallMs / 4));
    this.#ends = options.ends.watchEnds(
      (sessionId) => this.#bySession.get(sessionId)?.cut("session_ended"),
      // What ended before may not have been told.
      () => this.#lookAtAll(),
    );
  }

  /** Begins a transfer, which is to be ended; undefined when there are too many. */
  begin(sessionId: string, fileName: string): ActiveDownload | undefined {
    if (this.#running >= this.#options.limit) return undefined;
    this.#running++;
    let session = this.#bySession.get(sessionId);
    if (session === undefined) {
      session = new SessionDownloads(sessionId, this.#options.files, this.#options.leaseMs, this.#settled);
      this.#bySession.set(sessionId, session);
    }
    this.#timer ??= setInterval(this.#tick, this.#tickMs).unref();
    const transfer = session.begin(fileName);
    if (this.#isStopping) transfer.cut("server_stopping");
    return transfer;
  }

  end(transfer: ActiveDownload): void {
    this.#running--;
    transfer.session.end(transfer);
  }

  /** Cuts what runs and whatever begins after it. */
  stop(): void {
    this.#isStopping = true;
    for (const session of this.#bySession.values()) session.cut("server_stopping");
  }

  /** Resolves when all that was sent has been recorded, or soon when that can't be. The store may be closed then. */
  async close(): Promise<void> {
    this.#ends.stop();
    if (this.#bySession.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onSettled = resolve;
      setTimeout(resolve, closeMs).unref();
    });
    clearInterval(this.#timer);
  }

  readonly #tick = (): void => {
    const now = performance.now();
    for (const session of this.#bySession.values()) session.check(now, this.#options.stallMs);
    if (!this.#ends.isReliable && now - this.#lookedAt >= lookMs) this.#lookAtAll();
  };

  #lookAtAll(): void {
    this.#lookedAt = performance.now();
    for (const session of this.#bySession.values()) void this.#look(session);
  }

  async #look(session: SessionDownloads): Promise<void> {
    if (session.isBeingLookedAt) return;
    session.isBeingLookedAt = true;
    try {
      const found = await this.#options.sessions.get(session.id, linkBearer);
      if (found?.state !== "ACTIVE") session.cut("session_ended");
    } catch {
      // Nobody can know whether it has ended; there will be another look.
    } finally {
      session.isBeingLookedAt = false;
    }
  }

  readonly #settled = (session: SessionDownloads): void => {
    if (this.#bySession.get(session.id) === session) this.#bySession.delete(session.id);
    if (this.#bySession.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#onSettled?.();
  };
}
