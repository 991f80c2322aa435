import { setTimeout as delay } from "node:timers/promises";
import { ContentChangedError, type ContentSource, type ItemFile } from "../domain/content-source.ts";
import { type FailureMessageId, ServiceError } from "../domain/errors.ts";
import type { Digests, Preparation, PreparationResult, VersionedFile } from "../domain/preparation.ts";
import type { PreparationStore } from "../domain/preparation-store.ts";
import { checksumsOf } from "./checksums.ts";
import { type Hasher, HasherDied } from "./hasher.ts";
import { HashingFailed } from "./hashing.ts";
import type { PreparationEnd, PreparationObserver } from "./observer.ts";

/** What all jobs of a process have in common. */
export interface JobParts {
  readonly store: PreparationStore;
  readonly content: ContentSource;
  readonly hasher: Hasher;
  readonly observer: PreparationObserver;
  /** Name of this process among those that use the store. */
  readonly worker: string;
  /** How long a claim lasts without a report. */
  readonly claimMs: number;
  readonly reportMs: number;
  /** Whether this process prepares a file that was requested. */
  isBusy(): boolean;
}

/** How a job is done. */
export interface JobOptions {
  /** Whether the file contradicted its manifest before. */
  readonly verifyFirst?: boolean;
  /** Whether nobody waits for it. */
  readonly isIdle?: boolean;
}

/** How often a job that nobody waits for looks whether those that were requested are done, in milliseconds. */
const idlePauseMs = 100;

/** Another process has the job now. */
class ClaimLost extends Error {
  override readonly name = "ClaimLost";
}

/** The preparation of a file by this process: running, or waiting for its turn. */
export class PreparationJob {
  readonly #parts: JobParts;
  readonly #file: VersionedFile;
  readonly #itemFile: ItemFile;
  readonly #suspicion: { readonly verifyFirst?: true };
  readonly #abort = new AbortController();
  #bytesDone = 0;
  #hasBegun = false;
  #isReporting = false;
  #isReleased = false;
  /** When the claim lapses, by `performance.now()`, if no report gets through. */
  #claimedUntil = 0;
  #cause: unknown;
  /** Whether nobody waits for it. Set to false when the file is requested. */
  isIdle: boolean;
  #readAt = 0;

  constructor(parts: JobParts, file: VersionedFile, itemFile: ItemFile, options: JobOptions = {}) {
    this.#parts = parts;
    this.#file = file;
    this.#itemFile = itemFile;
    this.#suspicion = options.verifyFirst ? { verifyFirst: true } : {};
    this.isIdle = options.isIdle ?? false;
  }

  get preparation(): Preparation {
    if (!this.#hasBegun) return this.#requested;
    return { status: "PREPARING", bytesDone: this.#bytesDone, ...this.#suspicion };
  }

  get #requested(): Preparation {
    return { status: "PREPARE_REQUESTED", ...this.#suspicion };
  }

  get bytesLeft(): number {
    return this.#itemFile.size - this.#bytesDone;
  }

  /**
   * Does the job, unless another process has it or has done it. PREPARE_REQUESTED: the job was lost to another process.
   * Rejects when it can't be done now for reasons other than the file, which are not kept.
   */
  async run(): Promise<Preparation> {
    const { store, worker, claimMs, reportMs, observer } = this.#parts;
    this.#abort.signal.throwIfAborted();
    let reporting: NodeJS.Timeout | undefined;
    try {
      const existing = await store.claim(this.#file, worker, claimMs);
      if (existing !== undefined) return existing;
      this.#claimedUntil = performance.now() + claimMs;
      this.#hasBegun = true;
      observer.began();
      reporting = setInterval(() => void this.#report(), reportMs);
    } catch (reason) {
      await this.#release();
      throw reason;
    }
    const startedAt = performance.now();
    const reportEnd = (outcome: PreparationEnd["outcome"], more: Partial<PreparationEnd> = {}) =>
      observer.ended({ file: this.#file, outcome, durationMs: performance.now() - startedAt, ...more });
    try {
      const result = await this.#examine();
      if (!(await this.#finish(result))) throw new ClaimLost("the result came too late");
      if (result.status === "PREPARED") reportEnd("prepared");
      else reportEnd("failed", { messageId: result.messageId as FailureMessageId, cause: this.#cause });
      return result;
    } catch (reason) {
      if (reason instanceof ClaimLost) {
        reportEnd("lost");
        return this.#requested;
      }
      await this.#release();
      reportEnd("interrupted", { cause: reason });
      throw reason;
    } finally {
      clearInterval(reporting);
    }
  }

  /** Aborts the job and gives its claim back. */
  async abort(): Promise<void> {
    this.#abort.abort(new ServiceError("downlease.server.stopping"));
    if (this.#hasBegun) await this.#release();
  }

  async #examine(): Promise<PreparationResult> {
    const { content, hasher, observer } = this.#parts;
    const { itemId, fileName, contentVersion } = this.#file;
    const { signal } = this.#abort;
    const file = await content.openFile(itemId, fileName, contentVersion, this.isIdle);
    if (file === undefined) return failed("downlease.file.changed", itemId);
    try {
      const { checksums = {} } = this.#itemFile;
      const algorithms = new Set(Object.keys(checksums) as (keyof typeof checksums)[]);
      const onRead = (bytes: number) => {
        this.#bytesDone += bytes;
        observer.read(bytes);
        return this.isIdle ? this.#letOthersGo() : undefined;
      };
      const digests = await checksumsOf(file, algorithms, hasher, { onRead, signal });
      return verify(digests, this.#itemFile);
    } catch (reason) {
      if (reason instanceof ContentChangedError) return failed("downlease.file.changed", itemId);
      if (signal.aborted) throw signal.reason;
      if (reason instanceof HasherDied || reason instanceof ServiceError) throw reason;
      this.#cause = reason;
      if (reason instanceof HashingFailed) return failed("downlease.file.failed", fileName);
      return failed("downlease.file.unreadable", fileName);
    } finally {
      await file.close().catch(() => {});
    }
  }

  /** Waits for as long as the last read and what follows it have taken, and while files are prepared that were requested. */
  async #letOthersGo(): Promise<void> {
    const { signal } = this.#abort;
    const pause = (ms: number) => delay(ms, undefined, { ref: false, signal }).catch(() => {});
    const tookMs = performance.now() - this.#readAt;
    await pause(Math.min(tookMs, idlePauseMs));
    while (this.isIdle && this.#parts.isBusy() && !signal.aborted) await pause(idlePauseMs);
    this.#readAt = performance.now();
  }

  /** Retries while the claim lasts: a store that does not answer for a moment must not cost the work of an hour. */
  async #finish(result: PreparationResult): Promise<boolean> {
    const { store, worker, reportMs } = this.#parts;
    const { signal } = this.#abort;
    for (;;) {
      try {
        return await store.finish(this.#file, worker, result);
      } catch (reason) {
        if (performance.now() >= this.#claimedUntil) throw reason;
        await delay(reportMs, undefined, { signal }).catch(() => {});
        signal.throwIfAborted();
      }
    }
  }

  async #report(): Promise<void> {
    const { store, worker, claimMs } = this.#parts;
    if (this.#isReporting) return;
    this.#isReporting = true;
    const sentAt = performance.now();
    try {
      const isClaimed = await store.report(this.#file, worker, this.#bytesDone, claimMs);
      if (isClaimed) this.#claimedUntil = sentAt + claimMs;
      else this.#abort.abort(new ClaimLost("the claim has lapsed"));
    } catch {
      // The claim lasts a while: a later report may get through, and until then no other process has the job.
    } finally {
      this.#isReporting = false;
    }
  }

  async #release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    // A claim that can't be given back lapses.
    await this.#parts.store.release(this.#file, this.#parts.worker).catch(() => {});
  }
}

/** Compares the digests of a file with the checksums that it must have. */
function verify(digests: Digests, { name, checksums = {} }: ItemFile): PreparationResult {
  const wrong = Object.entries(checksums).find(
    ([algorithm, checksum]) => digests[algorithm as keyof Digests] !== checksum,
  );
  if (wrong === undefined) return { status: "PREPARED", digests };
  const [algorithm, checksum] = wrong;
  const digest = digests[algorithm as keyof Digests]!;
  return failed("downlease.file.checksum_mismatch", name, algorithm, checksum, digest);
}

function failed(messageId: FailureMessageId, ...args: string[]): PreparationResult {
  return { status: "ERROR", messageId, args };
}
