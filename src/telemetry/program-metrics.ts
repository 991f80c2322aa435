import { Counter, Gauge, Registry } from "@prometheus-io/client";
import type { Exposition, MetricsSnapshot } from "./metrics.ts";
import { collectRuntimeMetrics } from "./runtime-metrics.ts";

/** Types of metrics that stay after a worker has ended; its gauges go with it. */
const lasting: readonly string[] = ["counter", "histogram", "summary"];

/**
 * The metrics of a program of several workers. Counters, histograms and most gauges are added up, the supervisor's
 * own process among them; the start of the program is that of its first process.
 */
export class ProgramMetrics {
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];
  /** The last snapshot of each living worker, by its number. */
  readonly #last = new Map<number, MetricsSnapshot>();
  /** The sum over the workers that have ended. */
  #ended: readonly object[] = [];

  readonly #answered = new Gauge({
    name: "downlease_workers_answered",
    help: "Workers whose metrics are current; of the others the last snapshot is counted.",
    registers: this.#registers,
  });

  readonly #crashes = new Counter({
    name: "downlease_worker_crashes_total",
    help: "Workers that ended unexpectedly.",
    registers: this.#registers,
  });

  constructor({ workers }: { readonly workers: number }) {
    collectRuntimeMetrics(this.#registry);
    new Gauge({
      name: "downlease_workers",
      help: "Configured number of workers.",
      registers: this.#registers,
    }).set(workers);
  }

  /** Keeps the snapshot that a worker sent. */
  keep(worker: number, snapshot: MetricsSnapshot): void {
    this.#last.set(worker, snapshot);
  }

  /** Adds up what an ended worker counted. What it counted after its last snapshot is lost, and was never exposed. */
  retire(worker: number): void {
    const counted = (this.#last.get(worker) ?? []).filter(({ type }) => lasting.includes(type));
    this.#last.delete(worker);
    this.#ended = Registry.aggregate([this.#ended, counted]).getMetricsAsArray();
  }

  countCrash(): void {
    this.#crashes.inc();
  }

  /** In the Prometheus text format, from the last snapshot of every worker. */
  async expose({ answered }: { readonly answered: number }): Promise<Exposition> {
    this.#answered.set(answered);
    const all = [await this.#ofSupervisor(), this.#ended, ...this.#last.values()];
    return { contentType: this.#registry.contentType, body: await Registry.aggregate(all).metrics() };
  }

  /** Without the supervisor's runtime metrics: an event loop without work would flatter the average. */
  async #ofSupervisor(): Promise<MetricsSnapshot> {
    const metrics = await this.#registry.getMetricsAsJSON();
    return metrics
      .filter(({ name }) => !name.startsWith("nodejs_"))
      .map((metric) =>
        metric.name === "process_start_time_seconds" ? { ...metric, aggregator: "min" } : metric,
      );
  }
}
