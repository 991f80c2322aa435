import type { LeaseTotals } from "../domain/lease-counts.ts";
import type { Replica, ReplicaReport, ReplicaStore } from "../domain/replica-store.ts";
import type { Activity } from "./metrics.ts";

export interface ReplicaReporterOptions {
  readonly store: ReplicaStore;
  readonly identity: Pick<Replica, "name" | "version" | "address">;
  readonly activity: () => Activity;
  readonly isReady: () => boolean;
  /** Interval between two reports; a second by default. */
  readonly intervalMs?: number;
}

/** What the store answered to the latest report. */
export interface Answer extends Awaited<ReturnType<ReplicaStore["report"]>> {
  /** When the report was begun and when it was answered, by `performance.now()`. */
  readonly askedAt: number;
  readonly answeredAt: number;
}

type Batch = Pick<ReplicaReport, "counted" | "batch">;

/** The default interval between two reports. */
export const reportMs = 1_000;

/** Reports this process to the store, for the overview and the census, until it is closed. */
export class ReplicaReporter {
  readonly #options: ReplicaReporterOptions;
  readonly #startedAt = Date.now();
  #before: { readonly at: number; readonly activity: Activity };
  /** What is in a batch already. */
  #counted: LeaseTotals = { granted: 0, ended: 0 };
  #batches = 0;
  /** The batch that the store may not have yet. */
  #batch: Batch | undefined;
  #replica: Replica;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Undefined while the store does not answer. */
  latest: Answer | undefined;

  constructor(options: ReplicaReporterOptions) {
    this.#options = options;
    this.#before = { at: performance.now(), activity: options.activity() };
    this.#replica = this.#measure();
  }

  /** This process as it has last reported, or tried to. */
  get replica(): Replica {
    return this.#replica;
  }

  /** Resolves after the first report, whether it succeeded or not. */
  async start(): Promise<void> {
    await this.#report();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    try {
      // What was counted since the last report.
      await this.#sendAll();
      await this.#options.store.leave(this.#replica.name);
    } catch {
      // The store forgets it by itself.
    }
  }

  async #report(): Promise<void> {
    this.#replica = this.#measure();
    try {
      this.latest = await this.#sendAll();
    } catch {
      // The store monitor reports it.
      this.latest = undefined;
    }
    if (this.#isClosed) return;
    const { intervalMs = reportMs } = this.#options;
    this.#timer = setTimeout(() => void this.#report(), intervalMs).unref();
  }

  /** What was counted while the store did not answer is no part of the batch that is repeated. */
  async #sendAll(): Promise<Answer> {
    if (this.#batch !== undefined) await this.#send(this.#batch);
    return this.#send(this.#count());
  }

  async #send(batch: Batch): Promise<Answer> {
    this.#batch = batch;
    const askedAt = performance.now();
    const answer = await this.#options.store.report({ replica: this.#replica, ...batch });
    this.#batch = undefined;
    return { ...answer, askedAt, answeredAt: performance.now() };
  }

  /** What this process has counted since the last batch. */
  #count(): Batch {
    const { granted, ended } = this.#options.activity();
    const counted = { granted: granted - this.#counted.granted, ended: ended - this.#counted.ended };
    this.#counted = { granted, ended };
    return { counted, batch: `${this.#startedAt}-${++this.#batches}` };
  }

  #measure(): Replica {
    const { identity, activity: read, isReady } = this.#options;
    const before = this.#before;
    const [at, activity] = [performance.now(), read()];
    this.#before = { at, activity };
    const seconds = Math.max(at - before.at, 1) / 1000;
    const rate = (name: keyof Activity) => (activity[name] - before.activity[name]) / seconds;
    return {
      ...identity,
      startedAt: this.#startedAt,
      isReady: isReady(),
      callsPerSecond: rate("calls"),
      downloads: activity.downloads,
      bytesPerSecond: rate("bytesSent"),
      connections: activity.connections,
      grantedPerSecond: rate("granted"),
      renewedPerSecond: rate("renewed"),
    };
  }
}
