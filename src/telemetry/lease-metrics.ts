import { Counter, Gauge, type Registry } from "@prometheus-io/client";
import type { Census } from "../domain/census.ts";
import { LeaseCounts } from "../domain/lease-counts.ts";
import type { SessionState } from "../domain/session.ts";

/** Calls that renew a lease when they succeed; a call for files of a session that is not ACTIVE renews none, and is rare. */
const renewingOperations: ReadonlySet<string> = new Set([
  "DownloadSession.KeepAlive",
  "File.List",
  "File.Prepare",
  "File.Get",
]);

const stateLabels = {
  ACTIVE: "active",
  CANCELED: "canceled",
  ERROR: "error",
} as const satisfies Record<SessionState, string>;

/** What becomes of leases. */
export class LeaseMetrics {
  /** For the store. */
  readonly counts = new LeaseCounts();
  /** Renewals by calls. */
  #renewedByCalls = 0;
  readonly #granted: Counter;
  readonly #renewed: Counter;
  readonly #ended: Counter<"reason">;
  readonly #expired: Counter;
  readonly #sessions: Gauge<"state">;
  readonly #countedAt: Gauge;
  #reported = { granted: 0, renewed: 0, canceled: 0, failed: 0, deleted: 0 };

  /** @param flush called before numbers are read: counts what has not been counted yet */
  constructor(registers: Registry[], flush: () => void) {
    const collect = () => {
      flush();
      this.#collect();
    };
    this.#granted = new Counter({
      name: "downlease_leases_granted_total",
      help: "Leases granted: sessions that were created. A creation that finds its session by the client token renews.",
      registers,
      collect,
    });
    this.#renewed = new Counter({
      name: "downlease_leases_renewed_total",
      help:
        "Leases renewed: keep-alives that succeeded (alone, in batches and on streams), calls of File.List, Prepare " +
        "and Get that succeeded, repeated creations, and records of bytes sent.",
      registers,
      collect,
    });
    this.#ended = new Counter({
      name: "downlease_leases_ended_total",
      help: "Leases of active sessions ended before their time by reason: canceled, failed or deleted.",
      labelNames: ["reason"],
      registers,
      collect,
    });
    this.#expired = new Counter({
      name: "downlease_leases_expired_total",
      help:
        "Leases that ran out, as the census of the store finds. One replica at a time takes the census: add up all " +
        "replicas.",
      registers,
    });
    this.#sessions = new Gauge({
      name: "downlease_sessions",
      help: "Sessions in the store by state at the latest census; the same on every replica: take the maximum.",
      labelNames: ["state"],
      aggregator: "max",
      registers,
    });
    this.#countedAt = new Gauge({
      name: "downlease_sessions_counted_timestamp_seconds",
      help: "When the latest census ended, in seconds since the epoch.",
      aggregator: "max",
      registers,
    });
    // Before the first census there is nothing to show.
    this.#countedAt.remove();
    for (const reason of ["canceled", "failed", "deleted"]) this.#ended.inc({ reason }, 0);
  }

  get renewed(): number {
    return this.#renewedByCalls + this.counts.renewed;
  }

  /** Counts calls with the outcome ok. */
  countCalls(operation: string, number: number): void {
    if (renewingOperations.has(operation)) this.#renewedByCalls += number;
  }

  /** Counts a keep-alive that shares its call. */
  countKeepAlive(): void {
    this.#renewedByCalls++;
  }

  /** Counts what this process has found to have expired. */
  countExpired(number: number): void {
    this.#expired.inc(number);
  }

  showCensus({ states, endedAt }: Pick<Census, "states" | "endedAt">): void {
    for (const [state, label] of Object.entries(stateLabels))
      this.#sessions.set({ state: label }, states[state as SessionState]);
    this.#countedAt.set(endedAt / 1000);
  }

  #collect(): void {
    const { granted, canceled, failed, deleted } = this.counts;
    const { renewed } = this;
    const before = this.#reported;
    this.#reported = { granted, renewed, canceled, failed, deleted };
    this.#granted.inc(granted - before.granted);
    this.#renewed.inc(renewed - before.renewed);
    this.#ended.inc({ reason: "canceled" }, canceled - before.canceled);
    this.#ended.inc({ reason: "failed" }, failed - before.failed);
    this.#ended.inc({ reason: "deleted" }, deleted - before.deleted);
  }
}
