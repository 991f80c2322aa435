import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { type Census, CensusTally } from "../domain/census.ts";
import type { ReplicaStore } from "../domain/replica-store.ts";
import type { SessionRecordStore } from "../domain/session-record-store.ts";
import { causeOf } from "./cause.ts";
import type { LeaseMetrics } from "./lease-metrics.ts";
import { type ReplicaReporter, reportMs } from "./replica-reporter.ts";

export interface CensusTakerOptions {
  readonly sessions: Pick<SessionRecordStore, "page">;
  readonly replicas: Pick<ReplicaStore, "recordCensus">;
  readonly reporter: Pick<ReplicaReporter, "latest" | "replica">;
  readonly metrics: Pick<LeaseMetrics, "countExpired" | "showCensus">;
  readonly log: Logger;
  /** Interval between the reports of each process; that of the reporter by default. */
  readonly intervalMs?: number;
}

/** Part of a core that counting takes in this process; a Redis needs a little more. */
const cpuShare = 0.06;
/** Pause between two pages at most: a process that is busy with calls seems to need a lot for a page. */
const maxPauseMs = 2_000;
/** Pause after a census that has failed. */
const retryMs = 5_000;

/**
 * Shows the latest census of the store, and takes it while it is this process's to take: it walks over all sessions, some
 * at a time, again and again.
 */
export class CensusTaker {
  readonly #options: CensusTakerOptions;
  /** Interval between two looks at what the store has answered. */
  readonly #pollMs: number;
  /**
   * After this time every process has added what it had counted before: reports begin an interval apart, and the store
   * answers within a second or not at all.
   */
  readonly #settledMs: number;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #failures = 0;
  #shownAt = 0;

  constructor(options: CensusTakerOptions) {
    this.#options = options;
    const { intervalMs = reportMs } = options;
    this.#pollMs = intervalMs / 4;
    this.#settledMs = 2 * intervalMs + this.#pollMs;
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        const { latest } = this.#options.reporter;
        this.#show(latest?.census);
        if (!latest?.takesCensus) continue;
        await this.#take();
        this.#failures = 0;
      } catch (error) {
        if (!this.#closing.signal.aborted) this.#recordFailure(error);
      } finally {
        await this.#pause(this.#failures > 0 ? retryMs : this.#pollMs).catch(() => {});
      }
    }
  }

  /** Shows a census that the store has given for the first time: what this process has counted since is newer. */
  #show(census: Census | undefined): void {
    if (census === undefined || census.endedAt === this.#shownAt) return;
    this.#shownAt = census.endedAt;
    this.#options.metrics.showCensus(census);
  }

  /** The second of several failures in a row is logged: the first may be one of the store, which its monitor reports. */
  #recordFailure(error: unknown): void {
    if (++this.#failures !== 2) return;
    const cause = causeOf((error as Error).cause ?? error)!;
    this.#options.log.warn({ cause }, `sessions are not counted: ${cause.message}`);
  }

  async #take(): Promise<void> {
    const { reporter, replicas, metrics } = this.#options;
    const before = reporter.latest;
    if (before === undefined) return;
    // By the clock of the store, as the leases are; rather too early than too late.
    const clockMs = before.now - before.answeredAt;
    const tally = new CensusTally(Math.round(clockMs + performance.now()), before.census);
    await this.#walk(tally, clockMs);
    const walkedAt = performance.now();
    metrics.showCensus({ states: tally.states, endedAt: clockMs + walkedAt });
    const after = await this.#answerAfter(walkedAt + this.#settledMs);
    if (after === undefined) return;
    const previous: Census | undefined = after.census;
    const census = tally.census(Math.round(clockMs + walkedAt), previous, before.totals, after.totals);
    // First kept, then counted: nothing is counted by two.
    if (await replicas.recordCensus(reporter.replica.name, census)) metrics.countExpired(census.expired);
  }

  /** @param clockMs what the clock of the store is ahead of `performance.now()` */
  async #walk(tally: CensusTally, clockMs: number): Promise<void> {
    const { sessions } = this.#options;
    let cursor: string | undefined;
    do {
      const before = process.threadCpuUsage();
      const now = clockMs + performance.now();
      const page = await sessions.page({
        cursor,
        maxSessions: 1,
        matches(session) {
          tally.add(session, now);
          return false;
        },
      });
      ({ cursor } = page);
      const { user, system } = process.threadCpuUsage(before);
      const pauseMs = ((user + system) / 1000) * (1 / cpuShare - 1);
      if (cursor !== undefined) await this.#pause(Math.min(pauseMs, maxPauseMs));
    } while (cursor !== undefined);
  }

  /** The answer to a report that began later; undefined when the census is not this process's any more. */
  async #answerAfter(time: number) {
    for (;;) {
      const { latest } = this.#options.reporter;
      if (latest?.takesCensus === false) return undefined;
      if (latest !== undefined && latest.askedAt > time) return latest;
      await this.#pause(this.#pollMs);
    }
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { ref: false, signal: this.#closing.signal });
  }
}
