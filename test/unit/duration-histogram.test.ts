import { Histogram, Registry } from "@prometheus-io/client";
import { expect, test } from "vitest";
import { buckets, DurationHistogram } from "../../src/telemetry/duration-histogram.ts";

const seconds = [0, 0.0001, 0.00011, 0.0024, 0.0025, 0.3, 2, 2.0001, 60];
const options = { name: "downlease_test_seconds", help: "Test." };

/** Texts of one process, and of two that are added up. */
async function textsOf(registry: Registry): Promise<string[]> {
  const metrics = await registry.getMetricsAsJSON();
  return [await registry.metrics(), await Registry.aggregate([metrics, metrics]).metrics()];
}

test("durations are shown as the library's histogram shows them", async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const histogram = new DurationHistogram<"a" | "b">({ ...options, register: ours });
  const reference = new Histogram({
    ...options,
    labelNames: ["a", "b"],
    buckets: [...buckets],
    registers: [theirs],
  });
  for (const labels of [
    { a: "x", b: 'with "quotes"' },
    { a: "y", b: "z" },
  ]) {
    for (const value of seconds) {
      histogram.series(labels).add(value);
      reference.observe(labels, value);
    }
  }
  const texts = await textsOf(ours);
  expect(texts).toEqual(await textsOf(theirs));
  expect(texts[1]).toContain('_bucket{le="+Inf",a="y",b="z"} 18\n');
});
