import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from "@prometheus-io/client";
import type { CallRecord } from "../calls/call.ts";
import type { DownloadOutcome } from "../calls/download-record.ts";
import type { HttpVersion } from "../calls/http.ts";
import { Tallies, Tally } from "./tallies.ts";

/** Every metric with its values, as plain data. */
export type MetricsSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[];

/** What `/metrics` answers with. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** Seconds; from a keep-alive on a near Redis to a call that waited for a dead one. */
const buckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** The metrics of one app, in a registry of their own; those of the process are among them. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];

  readonly #requests = new Counter({
    name: "downlease_requests_total",
    help: "Finished calls by operation, protocol and outcome.",
    labelNames: ["operation", "protocol", "code"],
    registers: this.#registers,
    collect: () => this.#tallies.flush(),
  });

  readonly #durations = new Histogram({
    name: "downlease_request_duration_seconds",
    help: "Time from the arrival of a call to its answer by operation and protocol.",
    labelNames: ["operation", "protocol"],
    buckets,
    registers: this.#registers,
    collect: () => this.#tallies.flush(),
  });

  readonly #tallies = new Tallies((operation, protocol, code) => {
    const labels = { operation, protocol, code };
    return new Tally((durationsMs) => {
      this.#requests.inc(labels, durationsMs.length);
      for (const ms of durationsMs) this.#durations.observe({ operation, protocol }, ms / 1000);
    });
  });

  readonly #keepAlives = new Counter({
    name: "downlease_shared_keep_alives_total",
    help: "Keep-alives in batches and on streams by outcome.",
    labelNames: ["code"],
    registers: this.#registers,
  });

  readonly #roundTrips = new Histogram({
    name: "downlease_redis_round_trip_seconds",
    help: "Time from sending a script to Redis to its answer by script.",
    labelNames: ["script"],
    buckets,
    registers: this.#registers,
  });

  readonly #connections = new Gauge({
    name: "downlease_connections",
    help: "Open connections by protocol.",
    labelNames: ["protocol"],
    registers: this.#registers,
  });

  readonly #connectionsOf = {
    http1: this.#connections.labels({ protocol: "http1" }),
    h2: this.#connections.labels({ protocol: "h2" }),
  } satisfies Record<HttpVersion, unknown>;

  readonly #preparations = new Counter({
    name: "downlease_preparations_total",
    help: "Finished preparations of files by outcome.",
    labelNames: ["outcome"],
    registers: this.#registers,
  });

  readonly #transfers = new Counter({
    name: "downlease_downloads_total",
    help: "Requests for files by outcome.",
    labelNames: ["outcome"],
    registers: this.#registers,
  });

  readonly #preparing = new Gauge({
    name: "downlease_preparations_running",
    help: "Files that are being prepared.",
    registers: this.#registers,
  });

  readonly #preparedBytes = new Counter({
    name: "downlease_prepared_bytes_total",
    help: "Bytes that were read to prepare files.",
    registers: this.#registers,
  });

  readonly #running = new Gauge({
    name: "downlease_downloads_running",
    help: "Requests for files that are being served.",
    registers: this.#registers,
  });

  readonly #sentBytes = new Counter({
    name: "downlease_downloads_sent_bytes_total",
    help: "Bytes of files sent.",
    registers: this.#registers,
  });

  readonly #auditFailures = new Counter({
    name: "downlease_audit_failures_total",
    help: "Writes of the audit log that failed (write), and entries that were given up (dropped).",
    labelNames: ["reason"],
    registers: this.#registers,
  });

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    for (const gauge of Object.values(this.#connectionsOf)) gauge.set(0);
  }

  /** For the server. */
  readonly connections = {
    opened: (version: HttpVersion): void => this.#connectionsOf[version].inc(),
    closed: (version: HttpVersion): void => this.#connectionsOf[version].dec(),
  };

  /** For downloads. */
  readonly downloads = {
    began: (): void => this.#running.inc(),
    ended: (): void => this.#running.dec(),
    moved: (bytes: number): void => this.#sentBytes.inc(bytes),
    finished: (outcome: DownloadOutcome): void => this.#transfers.inc({ outcome }),
  };

  /** For the Redis store. */
  readonly observeRoundTrip = (script: string, seconds: number): void =>
    this.#roundTrips.observe({ script }, seconds);

  /** For keep-alives that share a call. */
  readonly countKeepAlive = (code: CallRecord["outcome"]): void => this.#keepAlives.inc({ code });

  /** For the audit log. */
  readonly countAuditFailure = (reason: "write" | "dropped"): void => this.#auditFailures.inc({ reason });

  /** For preparing files. */
  readonly preparations = {
    began: (): void => this.#preparing.inc(),
    read: (bytes: number): void => this.#preparedBytes.inc(bytes),
    ended: (outcome: string): void => {
      this.#preparing.dec();
      this.#preparations.inc({ outcome });
    },
  };

  observeCall({ operation, call: { protocol }, outcome, durationMs }: CallRecord): void {
    this.#tallies.of(operation, protocol, outcome).add(durationMs);
  }

  /** In the Prometheus text format. */
  async expose(): Promise<Exposition> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  /** Every metric, for another process to add up. */
  snapshot(): Promise<MetricsSnapshot> {
    return this.#registry.getMetricsAsJSON();
  }
}
