import { describe, expect, test } from "vitest";
import { readTracing, type TracingConfig } from "../../src/config/tracing.ts";

function read(environment: Record<string, string>) {
  const mistakes: string[] = [];
  return { tracing: readTracing(environment, (mistake) => mistakes.push(mistake)), mistakes };
}

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

describe("traces are made", () => {
  test.each([
    [endpoint, true],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://collector" }, true],
    [{ OTEL_TRACES_EXPORTER: "otlp" }, true],
    [{ ...endpoint, OTEL_SDK_DISABLED: "false" }, true],
    [{}, false],
    [{ OTEL_SERVICE_NAME: "downlease", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "http://collector" }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "", OTEL_TRACES_EXPORTER: "" }, false],
    [{ ...endpoint, OTEL_TRACES_EXPORTER: "none" }, false],
    [{ ...endpoint, OTEL_SDK_DISABLED: "TRUE" }, false],
  ])("with %j: %s", (environment, isOn) => {
    const { tracing, mistakes } = read(environment as Record<string, string>);
    expect(tracing !== undefined).toBe(isOn);
    expect(mistakes).toEqual([]);
  });
});

test("the defaults are those of OpenTelemetry", () => {
  expect(read(endpoint).tracing).toEqual({
    sampler: "parentbased_always_on",
    ratio: 1,
    batches: {
      scheduledDelayMillis: 5000,
      exportTimeoutMillis: 30_000,
      maxQueueSize: 2048,
      maxExportBatchSize: 512,
    },
  } satisfies TracingConfig);
});

test.each([
  ["traceidratio", "0.25", { sampler: "traceidratio", ratio: 0.25 }],
  ["parentbased_traceidratio", "", { sampler: "parentbased_traceidratio", ratio: 1 }],
  ["always_off", "ignored", { sampler: "always_off", ratio: 1 }],
])("the sampler is %s with '%s'", (OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, expected) => {
  const { tracing, mistakes } = read({ ...endpoint, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG });
  expect(tracing).toMatchObject(expected);
  expect(mistakes).toEqual([]);
});

test.each([
  [{ OTEL_TRACES_EXPORTER: "zipkin" }, "OTEL_TRACES_EXPORTER must be otlp or none, not 'zipkin'"],
  [{ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not 'grpc'"],
  [
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "collector:4318" },
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be an http or https URL without credentials",
  ],
  [
    { OTEL_TRACES_SAMPLER: "some" },
    "OTEL_TRACES_SAMPLER must be one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio, not 'some'",
  ],
  [
    { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" },
    "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not '2'",
  ],
  [
    { OTEL_BSP_MAX_QUEUE_SIZE: "0" },
    "OTEL_BSP_MAX_QUEUE_SIZE must be a whole number from 1 to 1000000, not '0'",
  ],
])("%j is a mistake", (environment, mistake) => {
  expect(read({ ...endpoint, ...environment } as Record<string, string>).mistakes).toEqual([mistake]);
  // It does not matter while traces are off.
  expect(read({ ...endpoint, ...environment, OTEL_SDK_DISABLED: "true" }).mistakes).toEqual([]);
});
