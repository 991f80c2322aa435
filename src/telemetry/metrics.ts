import {
  Counter,
  Gauge,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from "@prometheus-io/client";
import type { CallRecord } from "../calls/call.ts";
import type { DownloadRecord } from "../calls/download-record.ts";
import type { HttpVersion } from "../calls/http.ts";
import type { ErrorMessageId } from "../domain/errors.ts";
import { CacheMetrics } from "./cache-metrics.ts";
import { DurationHistogram, type DurationSeries } from "./duration-histogram.ts";
import { LeaseMetrics } from "./lease-metrics.ts";
import { type RefusalReason, refusalReasons } from "./refusals.ts";
import { collectRuntimeMetrics } from "./runtime-metrics.ts";
import { Tallies, Tally } from "./tallies.ts";

/** Every metric with its values, as plain data. */
export type MetricsSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[];

/** What a process does at the moment, and what it has done since it started. */
export interface Activity {
  /** Downloads that it is sending. */
  readonly downloads: number;
  /** Open connections. */
  readonly connections: number;
  readonly calls: number;
  /** Bytes of files. */
  readonly bytesSent: number;
  /** Leases. */
  readonly granted: number;
  readonly renewed: number;
  readonly ended: number;
}

/** What `/metrics` answers with. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** The metrics of one app, in a registry of their own; those of the process are among them. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];

  readonly leases = new LeaseMetrics(this.#registers, () => this.#tallies.flush());

  /** For the disk cache. */
  readonly cache = new CacheMetrics(this.#registers);

  readonly #requests = new Counter({
    name: "downlease_requests_total",
    help: "Finished calls by operation, protocol and outcome.",
    labelNames: ["operation", "protocol", "code"],
    registers: this.#registers,
    collect: () => this.#tallies.flush(),
  });

  readonly #durations = new DurationHistogram<"operation" | "protocol">({
    name: "downlease_request_duration_seconds",
    help: "Time from the arrival of a call to its answer by operation and protocol.",
    register: this.#registry,
  });

  readonly #tallies = new Tallies((operation, protocol, code) => {
    const labels = { operation, protocol, code };
    return new Tally(this.#durations.series({ operation, protocol }), (calls) => {
      this.#calls += calls;
      if (code === "ok") this.leases.countCalls(operation, calls);
      this.#requests.inc(labels, calls);
    });
  });

  readonly #keepAlives = new Counter({
    name: "downlease_shared_keep_alives_total",
    help: "Keep-alives in batches and on streams by outcome.",
    labelNames: ["code"],
    registers: this.#registers,
  });

  readonly #roundTrips = new DurationHistogram<"script">({
    name: "downlease_redis_round_trip_seconds",
    help: "Time from sending a script to Redis to its answer by script.",
    register: this.#registry,
  });

  readonly #roundTripsOf = new Map<string, DurationSeries<"script">>();

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

  readonly #refusals = new Counter({
    name: "downlease_refusals_total",
    help: "What was refused for lack of room by reason: quotas, shares, limits of what runs at a time, and overload.",
    labelNames: ["reason"],
    registers: this.#registers,
  });

  readonly #storeUp = new Gauge({
    name: "downlease_store_up",
    help: "1 while the store responds, else 0.",
    aggregator: "min",
    registers: this.#registers,
  });

  readonly #storeWritable = new Gauge({
    name: "downlease_store_writable",
    help: "1 while sessions can be created, else 0.",
    aggregator: "min",
    registers: this.#registers,
  });

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
    help: "Bytes of files sent, counted while they are.",
    registers: this.#registers,
  });

  readonly #auditFailures = new Counter({
    name: "downlease_audit_failures_total",
    help: "Writes of the audit log that failed (write), and entries that were given up (dropped).",
    labelNames: ["reason"],
    registers: this.#registers,
  });

  readonly #finishedBytes = new Counter({
    name: "downlease_downloads_finished_bytes_total",
    help: "Bytes of files sent by requests that have ended, by their outcome.",
    labelNames: ["outcome"],
    registers: this.#registers,
  });

  #calls = 0;
  #isWritable = false;
  readonly #activity = { downloads: 0, bytesSent: 0, connections: 0 };

  /** @param version of the program */
  constructor(version = "unknown") {
    collectRuntimeMetrics(this.#registry);
    new Gauge({
      name: "downlease_build_info",
      help: "The version of the program, and that of Node.js; always 1.",
      labelNames: ["version", "node"],
      aggregator: "max",
      registers: this.#registers,
    }).set({ version, node: process.versions.node }, 1);
    for (const gauge of Object.values(this.#connectionsOf)) gauge.set(0);
    for (const gauge of [this.#storeUp, this.#storeWritable]) gauge.set(0);
    for (const reason of [...Object.values(refusalReasons), "connections"]) this.#refusals.inc({ reason }, 0);
  }

  /** What this process does and has done until now. */
  get activity(): Activity {
    this.#tallies.flush();
    const { granted, ended } = this.leases.counts;
    return { ...this.#activity, calls: this.#calls, granted, ended, renewed: this.leases.renewed };
  }

  /** For the server. */
  readonly connections = {
    opened: (version: HttpVersion): void => {
      this.#activity.connections++;
      this.#connectionsOf[version].inc();
    },
    closed: (version: HttpVersion): void => {
      this.#activity.connections--;
      this.#connectionsOf[version].dec();
    },
    refused: (): void => this.#countRefusal("connections"),
  };

  /** For downloads. */
  readonly downloads = {
    began: (): void => {
      this.#activity.downloads++;
      this.#running.inc();
    },
    ended: (): void => {
      this.#activity.downloads--;
      this.#running.dec();
    },
    moved: (bytes: number): void => {
      this.#activity.bytesSent += bytes;
      this.#sentBytes.inc(bytes);
    },
    finished: ({ outcome, bytesSent, error }: DownloadRecord): void => {
      this.#transfers.inc({ outcome });
      this.#finishedBytes.inc({ outcome }, bytesSent);
      if (error !== undefined) this.#countError(error.messageId);
    },
  };

  /** For the monitor of the store. */
  readonly store = {
    up: (isUp: boolean): void => this.#storeUp.set(Number(isUp)),
    writable: (isWritable: boolean): void => {
      this.#isWritable = isWritable;
      this.#storeWritable.set(Number(isWritable));
    },
    isWritable: (): boolean => this.#isWritable,
  };

  /** For the Redis store. */
  readonly observeRoundTrip = (script: string, seconds: number): void => {
    let series = this.#roundTripsOf.get(script);
    if (series === undefined) {
      series = this.#roundTrips.series({ script });
      this.#roundTripsOf.set(script, series);
    }
    series.add(seconds);
  };

  /** For keep-alives that share a call. */
  readonly countKeepAlive = (code: CallRecord["outcome"]): void => {
    if (code === "ok") this.leases.countKeepAlive();
    this.#keepAlives.inc({ code });
  };

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

  observeCall({ operation, call: { protocol }, outcome, durationMs, error }: CallRecord): void {
    this.#tallies.of(operation, protocol, outcome).add(durationMs);
    if (error !== undefined) this.#countError(error.messageId);
  }

  /** In the Prometheus text format. */
  async expose(): Promise<Exposition> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  /** Every metric, for another process to add up. */
  snapshot(): Promise<MetricsSnapshot> {
    return this.#registry.getMetricsAsJSON();
  }

  #countError(messageId: ErrorMessageId): void {
    const reason = (refusalReasons as Partial<Record<ErrorMessageId, RefusalReason>>)[messageId];
    if (reason !== undefined) this.#countRefusal(reason);
  }

  #countRefusal(reason: RefusalReason): void {
    this.#refusals.inc({ reason });
  }
}
