import type { Histogram, MetricValueWithName, Registry } from "@prometheus-io/client";

/** Seconds; from a keep-alive on a near Redis to a call that waited for a dead one. */
export const buckets = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2,
];

interface DurationHistogramOptions {
  readonly name: string;
  readonly help: string;
  readonly register: Registry;
}

/**
 * A histogram of durations that come with every call. The library's own finds its series by a text that it makes of the
 * labels at each observation, which takes ten times as long as to count.
 */
export class DurationHistogram<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly aggregator = "sum";
  /** By the values of the labels. */
  readonly #series = new Map<string, DurationSeries<Label>>();

  constructor({ name, help, register }: DurationHistogramOptions) {
    this.name = name;
    this.help = help;
    // A registry reads these members and `get` only, as it does of metrics that it has added up.
    register.registerMetric(this as unknown as Histogram<Label>);
  }

  /** The series with these labels, for the caller to keep: finding it takes longer than counting. */
  series(labels: Readonly<Record<Label, string>>): DurationSeries<Label> {
    const key = Object.values(labels).join("\n");
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new DurationSeries(this.name, labels);
      this.#series.set(key, series);
    }
    return series;
  }

  /** For the registry. */
  async get() {
    const { name, help, type, aggregator } = this;
    return {
      name,
      help,
      type,
      aggregator,
      values: [...this.#series.values()].flatMap((series) => series.values()),
    };
  }
}

/** The durations with the same labels. */
export class DurationSeries<Label extends string> {
  readonly #name: string;
  readonly #labels: Readonly<Record<Label, string>>;
  /** Of each bucket alone, and of longer durations. */
  readonly #counts = new Float64Array(buckets.length + 1);
  #sum = 0;

  constructor(name: string, labels: Readonly<Record<Label, string>>) {
    this.#name = name;
    this.#labels = labels;
  }

  add(seconds: number): void {
    let index = 0;
    while (index < buckets.length && seconds > buckets[index]!) index++;
    this.#counts[index]!++;
    this.#sum += seconds;
  }

  values(): MetricValueWithName<Label | "le">[] {
    const [name, labels] = [this.#name, this.#labels];
    let count = 0;
    const ofBuckets = [...buckets, "+Inf"].map((le, index) => {
      count += this.#counts[index]!;
      return { labels: { le, ...labels }, value: count, metricName: `${name}_bucket` };
    });
    return [
      ...ofBuckets,
      { labels, value: this.#sum, metricName: `${name}_sum` },
      { labels, value: count, metricName: `${name}_count` },
    ];
  }
}
