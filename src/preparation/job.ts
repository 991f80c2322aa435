import { setTimeout as delay } from "node:timers/promises";
import { ContentChangedError, type ContentSource, type ItemFile } from "../domain/content-source.ts";
import { type FailureMessageId, ServiceError } from "../domain/errors.ts";
import type {
  Digests,
  PreparationRecord,
  PreparationResult,
  PreparationStore,
  VersionedFile,
} from "../domain/preparation-store.ts";
import type { Preparation } from "../domain/preparations.ts";
import { checksumsOf } from "./checksums.ts";
import { type Hasher, HasherDied } from "./hasher.ts";
import { HashingFailed } from "./hashing.ts";

/** Is told of the jobs of this process. */
export interface PreparationObserver {
  /** A job has begun to read its file. */
  began(): void;
  read(bytes: number): void;
  /** A job that had begun is over. */
  ended(end: PreparationEnd): void;
}

export interface PreparationEnd {
  readonly file: VersionedFile;
  /**
   * `failed`: something is wrong with the file. `lost`: another process has the job now. `interrupted`: whatever the
   * file is like, the job can't go on here.
   */
  readonly outcome: "prepared" | "failed" | "lost" | "interrupted";
  readonly durationMs: number;
  /** What is told to those who ask for the file; when it failed. */
  readonly messageId?: FailureMessageId;
  /** What happened below, for the log only. */
  readonly cause?: unknown;
}

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
}

/** Another process has the job now. */
class ClaimLost extends Error {
  override readonly name = "ClaimLost";
}

/** A file that this process prepares, or will as soon as it is its turn. */
export class PreparationJob {
  readonly #parts: JobParts;
  readonly #file: VersionedFile;
  readonly #told: ItemFile;
  readonly #stop = new AbortController();
  #bytesDone = 0;
  #hasBegun = false;
  #isReporting = false;
  #isReleased = false;
  /** When the claim lapses, by `performance.now()`, if no report gets through. */
  #heldUntil = 0;
  #cause: unknown;

  constructor(parts: JobParts, file: VersionedFile, told: ItemFile) {
    this.#parts = parts;
    this.#file = file;
    this.#told = told;
  }

  get status(): Preparation {
    return this.#hasBegun ? { status: "PREPARING", bytesDone: this.#bytesDone } : { status: "REQUESTED" };
  }

  get bytesLeft(): number {
    return this.#told.size - this.#bytesDone;
  }

  /**
   * Does the job, unless another process has it or has done it. REQUESTED: it was lost to another process. Rejects when
   * it can't be done now, which is not the file's fault and not remembered.
   */
  async run(): Promise<Preparation> {
    const { store, worker, claimMs, reportMs, observer } = this.#parts;
    this.#stop.signal.throwIfAborted();
    let reporting: NodeJS.Timeout | undefined;
    try {
      const known = await store.claim(this.#file, worker, claimMs);
      if (known !== undefined) return preparationOf(known);
      this.#heldUntil = performance.now() + claimMs;
      this.#hasBegun = true;
      observer.began();
      reporting = setInterval(() => void this.#report(), reportMs);
    } catch (reason) {
      await this.#release();
      throw reason;
    }
    const startedAt = performance.now();
    const end = (outcome: PreparationEnd["outcome"], more: Partial<PreparationEnd> = {}) =>
      observer.ended({ file: this.#file, outcome, durationMs: performance.now() - startedAt, ...more });
    try {
      const result = await this.#examine();
      if (!(await this.#finish(result))) throw new ClaimLost("the result came too late");
      if (result.state === "done") end("prepared");
      else end("failed", { messageId: result.messageId as FailureMessageId, cause: this.#cause });
      return preparationOf(result);
    } catch (reason) {
      if (reason instanceof ClaimLost) {
        end("lost");
        return { status: "REQUESTED" };
      }
      await this.#release();
      end("interrupted", { cause: reason });
      throw reason;
    } finally {
      clearInterval(reporting);
    }
  }

  /** Ends the job and gives its claim back. */
  async stop(): Promise<void> {
    this.#stop.abort(new ServiceError("downlease.server.stopping"));
    if (this.#hasBegun) await this.#release();
  }

  async #examine(): Promise<PreparationResult> {
    const { content, hasher, observer } = this.#parts;
    const { itemId, fileName, contentVersion } = this.#file;
    const { signal } = this.#stop;
    const file = await content.openFile(itemId, fileName, contentVersion);
    if (file === undefined) return failed("downlease.file.changed", itemId);
    try {
      const { checksums = {} } = this.#told;
      const algorithms = new Set(Object.keys(checksums) as (keyof typeof checksums)[]);
      const onRead = (bytes: number) => {
        this.#bytesDone += bytes;
        observer.read(bytes);
      };
      return judged(await checksumsOf(file, algorithms, hasher, { onRead, signal }), this.#told);
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

  /** A store that does not answer for a moment must not cost the work of an hour. */
  async #finish(result: PreparationResult): Promise<boolean> {
    const { store, worker, reportMs } = this.#parts;
    const { signal } = this.#stop;
    for (;;) {
      try {
        return await store.finish(this.#file, worker, result);
      } catch (reason) {
        if (performance.now() >= this.#heldUntil) throw reason;
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
      const isHeld = await store.report(this.#file, worker, this.#bytesDone, claimMs);
      if (isHeld) this.#heldUntil = sentAt + claimMs;
      else this.#stop.abort(new ClaimLost("the claim has lapsed"));
    } catch {
      // The claim lasts a while: a later report may get through, and until then nobody else has the job.
    } finally {
      this.#isReporting = false;
    }
  }

  async #release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    // What can't be given back lapses.
    await this.#parts.store.release(this.#file, this.#parts.worker).catch(() => {});
  }
}

export function preparationOf(record: PreparationRecord): Preparation {
  switch (record.state) {
    case "running":
      return { status: "PREPARING", bytesDone: record.bytesDone };
    case "done":
      return { status: "PREPARED", digests: record.digests };
    case "failed":
      return { status: "FAILED", messageId: record.messageId, args: record.args };
  }
}

function judged(digests: Digests, { name, checksums = {} }: ItemFile): PreparationResult {
  const wrong = Object.entries(checksums).find(
    ([algorithm, told]) => digests[algorithm as keyof Digests] !== told,
  );
  if (wrong === undefined) return { state: "done", digests };
  const [algorithm, told] = wrong;
  return failed(
    "downlease.file.checksum_mismatch",
    name,
    algorithm,
    told,
    digests[algorithm as keyof Digests]!,
  );
}

function failed(messageId: FailureMessageId, ...args: string[]): PreparationResult {
  return { state: "failed", messageId, args };
}
