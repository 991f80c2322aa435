import type { CutReason } from "../calls/download-record.ts";
import type { VersionedFile } from "../domain/preparation.ts";
import type { LeaseTerms } from "../domain/session.ts";
import type { SessionFileStore } from "../domain/session-file-store.ts";

/** A download of a verified link: from before its session is looked up, so that no announcement of its end is missed. */
export class ActiveDownload {
  readonly session: SessionDownloads;
  readonly fileName: string;
  /** Bytes that the connection has accepted. */
  bytesSent = 0;
  /** Why it has to be cut. */
  cutReason: CutReason | undefined = undefined;
  /** Called once, when it has to be cut. */
  onCut: ((reason: CutReason) => void) | undefined = undefined;
  /** When bytes were last read or accepted, by `performance.now()`. */
  progressedAt = performance.now();
  /** Whether its client is ready for more, and the limit of the bandwidth holds it back. */
  isWaitingForTurn = false;
  /** Its file, until that is verified; undefined also before the file is open. */
  unverified: VersionedFile | undefined = undefined;

  constructor(session: SessionDownloads, fileName: string) {
    this.session = session;
    this.fileName = fileName;
  }

  /** Records bytes that the connection has accepted. */
  addSent(bytes: number): void {
    this.progressedAt = performance.now();
    this.bytesSent += bytes;
    this.session.addSent(this.fileName, bytes, this.progressedAt);
  }

  /** The first reason counts. */
  cut(reason: CutReason): void {
    if (this.cutReason !== undefined) return;
    this.cutReason = reason;
    this.onCut?.(reason);
  }
}

/** Pause before a store that did not answer is tried again, in milliseconds. */
const retryMs = 1_000;

/**
 * The active downloads of one session. Recording what they send renews the session's lease: with the first bytes, then
 * once a quarter of the lease while bytes move, and when the last download has ended.
 *
 * A store that does not answer cuts no download, however long that takes, because the session may still be ACTIVE.
 * Recording is retried until the store answers; if the session is gone by then, its downloads are cut.
 */
export class SessionDownloads {
  readonly id: string;
  /** Whether a check of the session's state is running. */
  isBeingChecked = false;
  readonly #store: Pick<SessionFileStore, "recordSent">;
  readonly #terms: Pick<LeaseTerms, "leaseMs">;
  readonly #onSettled: (session: SessionDownloads) => void;
  readonly #active = new Set<ActiveDownload>();
  /** Bytes by file name. */
  #unrecorded = new Map<string, number>();
  #isRecording = false;
  #recordAt = 0;
  /** When the last download ended. */
  #endedAt = 0;
  #hasSessionEnded = false;

  /**
   * @param terms read at each use, because they may change
   * @param onSettled called when nothing is left to do, until the next download begins
   */
  constructor(
    id: string,
    store: Pick<SessionFileStore, "recordSent">,
    terms: Pick<LeaseTerms, "leaseMs">,
    onSettled: (session: SessionDownloads) => void,
  ) {
    this.id = id;
    this.#store = store;
    this.#terms = terms;
    this.#onSettled = onSettled;
  }

  /** Whether a download of it is running. */
  get isActive(): boolean {
    return this.#active.size > 0;
  }

  begin(fileName: string): ActiveDownload {
    const download = new ActiveDownload(this, fileName);
    this.#active.add(download);
    return download;
  }

  end(download: ActiveDownload): void {
    this.#active.delete(download);
    if (this.#active.size > 0) return;
    this.#endedAt = performance.now();
    if (!this.#isRecording) this.#finish(true);
  }

  addSent(fileName: string, bytes: number, now: number): void {
    this.#unrecorded.set(fileName, (this.#unrecorded.get(fileName) ?? 0) + bytes);
    if (now >= this.#recordAt) void this.#record();
  }

  cut(reason: CutReason): void {
    for (const download of this.#active) download.cut(reason);
  }

  /** The downloads that send a file before it is verified. */
  get unverified(): ActiveDownload[] {
    return [...this.#active].filter(({ unverified }) => unverified !== undefined);
  }

  /** Cuts stalled downloads, and records what has been sent if that is due. */
  tick(now: number, stallMs: number): void {
    for (const download of this.#active) {
      if (!download.isWaitingForTurn && now - download.progressedAt >= stallMs) download.cut("stalled");
    }
    if (now >= this.#recordAt) void this.#record();
  }

  async #record(): Promise<void> {
    if (this.#isRecording || this.#unrecorded.size === 0) return;
    this.#isRecording = true;
    const sent = this.#unrecorded;
    this.#unrecorded = new Map();
    const quarterMs = this.#terms.leaseMs / 4;
    let hasAnswered = true;
    try {
      const { outcome } = await this.#store.recordSent(this.id, sent);
      this.#recordAt = performance.now() + quarterMs;
      if (outcome !== "renewed") {
        this.#hasSessionEnded = true;
        this.cut("session_ended");
      }
    } catch {
      hasAnswered = false;
      for (const [name, bytes] of sent) this.#unrecorded.set(name, (this.#unrecorded.get(name) ?? 0) + bytes);
      this.#recordAt = performance.now() + Math.min(retryMs, quarterMs);
    }
    this.#isRecording = false;
    if (this.#active.size === 0) this.#finish(hasAnswered);
  }

  /** No download is active any more. Bytes that could not be recorded for a whole lease renew nothing: they are dropped. */
  #finish(hasAnswered: boolean): void {
    const isLate = performance.now() - this.#endedAt >= this.#terms.leaseMs;
    if (this.#unrecorded.size === 0 || this.#hasSessionEnded || isLate) this.#onSettled(this);
    // Without an answer, `tick` tries again.
    else if (hasAnswered) void this.#record();
  }
}
