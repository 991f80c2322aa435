import type { CutReason } from "../calls/download-record.ts";
import type { SessionFileStore } from "../domain/session-file-store.ts";

/** A file on its way to a client. */
export class ActiveDownload {
  readonly session: SessionDownloads;
  readonly fileName: string;
  /** Bytes that the connection has taken. */
  bytesSent = 0;
  /** Why it has to end. */
  cutWith: CutReason | undefined = undefined;
  /** Told once, when it has to end. */
  onCut: ((reason: CutReason) => void) | undefined = undefined;
  /** When something was last read or taken. */
  movedAt = performance.now();

  constructor(session: SessionDownloads, fileName: string) {
    this.session = session;
    this.fileName = fileName;
  }

  /** The connection has taken bytes. */
  sent(bytes: number): void {
    this.movedAt = performance.now();
    this.bytesSent += bytes;
    this.session.sent(this.fileName, bytes, this.movedAt);
  }

  /** The first reason counts. */
  cut(reason: CutReason): void {
    if (this.cutWith !== undefined) return;
    this.cutWith = reason;
    this.onCut?.(reason);
  }
}

/** How soon a store that did not answer is asked again, in milliseconds. */
const retryMs = 1_000;

/**
 * The running transfers of one session. What they send renews its lease, by way of being recorded: as soon as the first
 * bytes are sent, then once a quarter of the lease while bytes move, and when the last transfer has ended.
 *
 * A store that does not answer cuts nothing, however long that takes, since nobody can know how the session is. It is
 * asked again until it answers; when the session is gone by then, its transfers are cut.
 */
export class SessionDownloads {
  readonly id: string;
  isBeingLookedAt = false;
  readonly #store: Pick<SessionFileStore, "recordSent">;
  readonly #leaseMs: number;
  readonly #settled: (session: SessionDownloads) => void;
  readonly #running = new Set<ActiveDownload>();
  /** Bytes by file name. */
  #unrecorded = new Map<string, number>();
  #isRecording = false;
  #recordAt = 0;
  /** When the last transfer ended. */
  #endedAt = 0;
  #isOver = false;

  /** @param settled is told when there is nothing more to do, until the next transfer begins */
  constructor(
    id: string,
    store: Pick<SessionFileStore, "recordSent">,
    leaseMs: number,
    settled: (session: SessionDownloads) => void,
  ) {
    this.id = id;
    this.#store = store;
    this.#leaseMs = leaseMs;
    this.#settled = settled;
  }

  begin(fileName: string): ActiveDownload {
    const transfer = new ActiveDownload(this, fileName);
    this.#running.add(transfer);
    return transfer;
  }

  end(transfer: ActiveDownload): void {
    this.#running.delete(transfer);
    if (this.#running.size > 0) return;
    this.#endedAt = performance.now();
    if (!this.#isRecording) this.#finish(true);
  }

  sent(fileName: string, bytes: number, now: number): void {
    this.#unrecorded.set(fileName, (this.#unrecorded.get(fileName) ?? 0) + bytes);
    if (now >= this.#recordAt) void this.#record();
  }

  cut(reason: CutReason): void {
    for (const transfer of this.#running) transfer.cut(reason);
  }

  /** Does what is due. */
  check(now: number, stallMs: number): void {
    for (const transfer of this.#running) {
      if (now - transfer.movedAt >= stallMs) transfer.cut("stalled");
    }
    if (now >= this.#recordAt) void this.#record();
  }

  async #record(): Promise<void> {
    if (this.#isRecording || this.#unrecorded.size === 0) return;
    this.#isRecording = true;
    const sent = this.#unrecorded;
    this.#unrecorded = new Map();
    const quarterMs = this.#leaseMs / 4;
    let isAnswered = true;
    try {
      const { outcome } = await this.#store.recordSent(this.id, sent);
      this.#recordAt = performance.now() + quarterMs;
      if (outcome !== "renewed") {
        this.#isOver = true;
        this.cut("session_ended");
      }
    } catch {
      isAnswered = false;
      for (const [name, bytes] of sent) this.#unrecorded.set(name, (this.#unrecorded.get(name) ?? 0) + bytes);
      this.#recordAt = performance.now() + Math.min(retryMs, quarterMs);
    }
    this.#isRecording = false;
    if (this.#running.size === 0) this.#finish(isAnswered);
  }

  /** No transfer runs any more. What could not be recorded for a whole lease renews nothing: it is dropped. */
  #finish(isAnswered: boolean): void {
    const isLate = performance.now() - this.#endedAt >= this.#leaseMs;
    if (this.#unrecorded.size === 0 || this.#isOver || isLate) this.#settled(this);
    // Else `check` tries again.
    else if (isAnswered) void this.#record();
  }
}
