import pLimit from "p-limit";
import type { ContentSource, ItemFile } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import {
  isMismatch,
  type Preparation,
  type Preparations,
  type StoredPreparation,
  type VersionedFile,
} from "../domain/preparation.ts";
import type { PreparationStore } from "../domain/preparation-store.ts";
import { Hasher } from "./hasher.ts";
import type { PreparationObserver } from "./observer.ts";
import { type JobOptions, type JobParts, PreparationJob } from "./preparation-job.ts";

/** How files are prepared; times in milliseconds. */
export interface PreparationTerms {
  /** How long a process may be silent about a job before another one may take it. */
  readonly claimMs: number;
  readonly reportMs: number;
  /** How long `start` waits for a job that is nearly done. */
  readonly startWaitMs: number;
  /** Large files that are read at a time, and small files, which do not wait for the large ones. */
  readonly jobs: number;
}

/** Most of `startWaitMs` is the start of the thread, which small files do without. */
const usualTerms: PreparationTerms = { claimMs: 10_000, reportMs: 1_000, startWaitMs: 100, jobs: 4 };

/** Bytes that are hashed within moments. A file up to this size is small; a job with less left is nearly done. */
const smallBytes = 16 * 1024 * 1024;

export interface SharedPreparationsParts {
  readonly store: PreparationStore;
  readonly content: ContentSource;
  readonly observer?: PreparationObserver;
  readonly terms?: Partial<PreparationTerms>;
  readonly hasher?: Hasher;
}

interface Running {
  readonly job: PreparationJob;
  readonly outcome: Promise<Preparation>;
}

const noObserver: PreparationObserver = { began() {}, read() {}, ended() {} };

/**
 * Prepares files together with every process that uses the same store: each file of an item version is read once,
 * whichever process is called for it. A process that dies loses its claims, and the next call for the file starts over.
 */
export class SharedPreparations implements Preparations {
  readonly #parts: JobParts;
  readonly #startWaitMs: number;
  readonly #large: ReturnType<typeof pLimit>;
  readonly #small: ReturnType<typeof pLimit>;
  /** The jobs of this process, including those that wait for their turn. */
  readonly #running = new Map<string, Running>();
  #isClosed = false;

  constructor(parts: SharedPreparationsParts) {
    const { store, content, observer = noObserver, hasher = new Hasher() } = parts;
    const { claimMs, reportMs, startWaitMs, jobs } = { ...usualTerms, ...parts.terms };
    this.#parts = {
      store,
      content,
      observer,
      hasher,
      worker: crypto.randomUUID(),
      claimMs,
      reportMs,
      isBusy: () => this.#isBusy,
    };
    this.#startWaitMs = startWaitMs;
    this.#large = pLimit(jobs);
    this.#small = pLimit(jobs);
  }

  async find(files: readonly VersionedFile[]): Promise<Preparation[]> {
    if (files.length === 0) return [];
    const stored = await this.#parts.store.find(files);
    return files.map((file, index) => this.#latest(file, stored[index]));
  }

  async start(file: VersionedFile, itemFile: ItemFile, retry: boolean): Promise<Preparation> {
    const key = keyOf(file);
    let verifyFirst = false;
    if (!this.#running.has(key)) {
      const [stored] = await this.#parts.store.find([file]);
      // What is certain stays in the store until the job claims the file, so that nobody gets it meanwhile.
      verifyFirst = retry && stored !== undefined && isMismatch(stored);
      const existing =
        stored?.status === "ERROR" && retry && !verifyFirst ? await this.#forgetError(file) : stored;
      if (existing !== undefined && !verifyFirst) return existing;
    }
    if (this.#isClosed) throw new ServiceError("downlease.server.stopping");
    const running = this.#running.get(key) ?? this.#begin(key, file, itemFile, { verifyFirst });
    running.job.isIdle = false;
    return this.#waitShortly(running);
  }

  /**
   * Prepares a file that nobody has requested, unless it is prepared or in ERROR, or some process prepares it. Resolves
   * when this process has done what it can; with false when the file may have to be tried again. Yields to files that are requested, and becomes one of them when it is requested itself.
   */
  async ahead(file: VersionedFile, itemFile: ItemFile): Promise<boolean> {
    const key = keyOf(file);
    const [stored] = await this.#parts.store.find([file]);
    if (stored !== undefined || this.#isClosed) return stored?.status !== "PREPARING";
    const running = this.#running.get(key) ?? this.#begin(key, file, itemFile, { isIdle: true });
    const { status } = await running.outcome;
    return status === "PREPARED" || status === "ERROR";
  }

  /** Aborts the jobs of this process and gives their claims back, so that another process can do them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#running.values()].map(({ job }) => job.abort()));
    await this.#parts.hasher.close();
  }

  /** The newer one of what the store has of a file and of what a job of this process has. */
  #latest(file: VersionedFile, stored: StoredPreparation | undefined): Preparation {
    const own = this.#running.get(keyOf(file))?.job.preparation;
    if (own === undefined) return stored ?? { status: "UNPREPARED" };
    // While a job only waits for its turn, another process may be preparing the file or have prepared it.
    const isElsewhere =
      own.status === "PREPARE_REQUESTED" && stored !== undefined && stored.status !== "ERROR";
    return isElsewhere ? stored : own;
  }

  /**
   * Removes an error at once, not when it is the job's turn, so that no caller gets it until then. Returns the
   * preparation of another process that has been faster.
   */
  async #forgetError(file: VersionedFile): Promise<StoredPreparation | undefined> {
    const { store, claimMs } = this.#parts;
    // Not as this process: the claim of a job that has begun meanwhile must not be given back.
    const worker = crypto.randomUUID();
    const existing = await store.claim(file, worker, claimMs);
    if (existing === undefined) await store.release(file, worker);
    return existing;
  }

  get #isBusy(): boolean {
    return [...this.#running.values()].some(({ job }) => !job.isIdle);
  }

  #begin(key: string, file: VersionedFile, itemFile: ItemFile, options: JobOptions): Running {
    const job = new PreparationJob(this.#parts, file, itemFile, options);
    const limit = itemFile.size <= smallBytes ? this.#small : this.#large;
    const outcome = (options.isIdle ? job.run() : limit(() => job.run())).finally(() =>
      this.#running.delete(key),
    );
    // Often no caller waits for it; the observer gets the error.
    outcome.catch(() => {});
    const running = { job, outcome };
    this.#running.set(key, running);
    return running;
  }

  /** Waits for a job that is nearly done, but not for long. */
  async #waitShortly({ job, outcome }: Running): Promise<Preparation> {
    if (job.bytesLeft > smallBytes) return job.preparation;
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), this.#startWaitMs);
    try {
      return (await Promise.race([outcome, late.promise])) ?? job.preparation;
    } finally {
      clearTimeout(timer);
    }
  }
}

function keyOf({ itemId, contentVersion, fileName }: VersionedFile): string {
  return JSON.stringify([itemId, contentVersion, fileName]);
}
