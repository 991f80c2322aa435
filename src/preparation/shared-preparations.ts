import pLimit from "p-limit";
import type { ContentSource, ItemFile } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import type { PreparationRecord, PreparationStore, VersionedFile } from "../domain/preparation-store.ts";
import type { Preparation, Preparations } from "../domain/preparations.ts";
import { Hasher } from "./hasher.ts";
import { type JobParts, PreparationJob, type PreparationObserver, preparationOf } from "./job.ts";

/** How preparing goes on; times in milliseconds. */
export interface PreparationTerms {
  /** How long a process may be silent about a job before another one may take it. */
  readonly claimMs: number;
  readonly reportMs: number;
  /** How long `start` waits for what is nearly done. */
  readonly patienceMs: number;
  /** Large files that are read at a time, and small ones besides, which are not to wait for the large ones. */
  readonly jobs: number;
}

/** To start the thread, which smaller files do without, takes most of the patience. */
const usualTerms: PreparationTerms = { claimMs: 10_000, reportMs: 1_000, patienceMs: 100, jobs: 4 };

/** What is hashed within moments: files are small, and jobs nearly done, when no more than this is left. */
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

const nobody: PreparationObserver = { began() {}, read() {}, ended() {} };

/**
 * Prepares files together with every process that uses the same store: each file of an item version is read once,
 * wherever it is asked for. A process that dies loses its claims, and who asks for the file next starts anew.
 */
export class SharedPreparations implements Preparations {
  readonly #parts: JobParts;
  readonly #patienceMs: number;
  readonly #largeOnes: ReturnType<typeof pLimit>;
  readonly #smallOnes: ReturnType<typeof pLimit>;
  /** The jobs of this process, those that wait for their turn among them. */
  readonly #running = new Map<string, Running>();
  #isClosed = false;

  constructor(parts: SharedPreparationsParts) {
    const { store, content, observer = nobody, hasher = new Hasher() } = parts;
    const { claimMs, reportMs, patienceMs, jobs } = { ...usualTerms, ...parts.terms };
    this.#parts = { store, content, observer, hasher, worker: crypto.randomUUID(), claimMs, reportMs };
    this.#patienceMs = patienceMs;
    this.#largeOnes = pLimit(jobs);
    this.#smallOnes = pLimit(jobs);
  }

  async look(files: readonly VersionedFile[]): Promise<Preparation[]> {
    if (files.length === 0) return [];
    const records = await this.#parts.store.find(files);
    return files.map((file, index) => this.#seen(file, records[index]));
  }

  async start(file: VersionedFile, told: ItemFile, retry: boolean): Promise<Preparation> {
    const key = keyOf(file);
    if (!this.#running.has(key)) {
      const [record] = await this.#parts.store.find([file]);
      const known = record?.state === "failed" && retry ? await this.#forget(file) : record;
      if (known !== undefined) return preparationOf(known);
    }
    if (this.#isClosed) throw new ServiceError("downlease.server.stopping");
    return this.#patiently(this.#running.get(key) ?? this.#begin(key, file, told));
  }

  /** Ends the jobs of this process and gives their claims back, so that another one takes them up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#running.values()].map(({ job }) => job.stop()));
    await this.#parts.hasher.close();
  }

  #seen(file: VersionedFile, record: PreparationRecord | undefined): Preparation {
    const known = record && preparationOf(record);
    const here = this.#running.get(keyOf(file))?.job.status;
    if (here === undefined) return known ?? { status: "UNPREPARED" };
    // What this process knows of its own job is newer, unless it only waits to find another one at it.
    const isElsewhere = here.status === "REQUESTED" && known !== undefined && known.status !== "FAILED";
    return isElsewhere ? known : here;
  }

  /**
   * Forgets a failure at once, not when it is the job's turn, so that nobody is told of it until then. Gives what
   * another process has made of it meanwhile.
   */
  async #forget(file: VersionedFile): Promise<PreparationRecord | undefined> {
    const { store, claimMs } = this.#parts;
    // Not as this process: the claim of a job that has begun meanwhile must not be given back.
    const worker = crypto.randomUUID();
    const known = await store.claim(file, worker, claimMs);
    if (known === undefined) await store.release(file, worker);
    return known;
  }

  #begin(key: string, file: VersionedFile, told: ItemFile): Running {
    const job = new PreparationJob(this.#parts, file, told);
    const takeTurns = told.size <= smallBytes ? this.#smallOnes : this.#largeOnes;
    const outcome = takeTurns(() => job.run()).finally(() => this.#running.delete(key));
    // Often nobody waits for it; the observer is told.
    outcome.catch(() => {});
    const running = { job, outcome };
    this.#running.set(key, running);
    return running;
  }

  async #patiently({ job, outcome }: Running): Promise<Preparation> {
    if (job.bytesLeft > smallBytes) return job.status;
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), this.#patienceMs);
    try {
      return (await Promise.race([outcome, late.promise])) ?? job.status;
    } finally {
      clearTimeout(timer);
    }
  }
}

function keyOf({ itemId, contentVersion, fileName }: VersionedFile): string {
  return JSON.stringify([itemId, contentVersion, fileName]);
}
