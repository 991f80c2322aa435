import { isHttpUrl } from "./fields.ts";
import { wholeNumber, wholeNumberRule } from "./numbers.ts";

const samplers = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

export type SamplerName = (typeof samplers)[number];

/** How traces are made. Where they go to is read by OpenTelemetry's exporter itself. */
export interface TracingConfig {
  readonly sampler: SamplerName;
  /** Part of the traces that the samplers with a ratio keep, 0 to 1. */
  readonly ratio: number;
  /** Bounds of what waits for the collector. */
  readonly batches: {
    readonly scheduledDelayMillis: number;
    readonly exportTimeoutMillis: number;
    readonly maxQueueSize: number;
    readonly maxExportBatchSize: number;
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads OpenTelemetry's own variables
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables). Traces are on when a place for
 * them is set, and not turned off; an empty variable is unset.
 *
 * @param mistake called with each mistake, one line
 * @returns undefined when traces are off
 */
export function readTracing(
  environment: Environment,
  mistake: (message: string) => void,
): TracingConfig | undefined {
  if (!isWanted(environment, mistake)) return undefined;
  checkExporter(environment, mistake);
  const count = (name: string, fallback: number, min = 1) => {
    const text = environment[name];
    if (!text) return fallback;
    const value = wholeNumber(text, min, maxCount);
    if (value === undefined) mistake(`${name} ${wholeNumberRule(min, maxCount)}, not '${text}'`);
    return value ?? fallback;
  };
  return {
    ...samplerIn(environment, mistake),
    batches: {
      scheduledDelayMillis: count("OTEL_BSP_SCHEDULE_DELAY", 5000, 0),
      exportTimeoutMillis: count("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
      maxQueueSize: count("OTEL_BSP_MAX_QUEUE_SIZE", 2048),
      maxExportBatchSize: count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
    },
  };
}

const maxCount = 1_000_000;

function isWanted(environment: Environment, mistake: (message: string) => void): boolean {
  if (environment.OTEL_SDK_DISABLED?.toLowerCase() === "true") return false;
  const exporter = environment.OTEL_TRACES_EXPORTER;
  if (!exporter)
    return Boolean(environment.OTEL_EXPORTER_OTLP_ENDPOINT || environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
  if (exporter !== "otlp" && exporter !== "none")
    mistake(`OTEL_TRACES_EXPORTER must be otlp or none, not '${exporter}'`);
  return exporter === "otlp";
}

/** What is not checked by the exporter, which would take its defaults instead. */
function checkExporter(environment: Environment, mistake: (message: string) => void): void {
  for (const prefix of ["OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"]) {
    const [protocol, endpoint] = [environment[`${prefix}PROTOCOL`], environment[`${prefix}ENDPOINT`]];
    if (protocol && protocol !== "http/protobuf")
      mistake(`${prefix}PROTOCOL must be http/protobuf, not '${protocol}'`);
    if (endpoint && !isHttpUrl(endpoint))
      mistake(`${prefix}ENDPOINT must be an http or https URL without credentials`);
  }
}

function samplerIn(
  { OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: argument }: Environment,
  mistake: (message: string) => void,
): Pick<TracingConfig, "sampler" | "ratio"> {
  const name = samplers.find((each) => each === (sampler || "parentbased_always_on"));
  if (name === undefined)
    mistake(`OTEL_TRACES_SAMPLER must be one of ${samplers.join(", ")}, not '${sampler}'`);
  const ratio = argument && name?.endsWith("ratio") ? Number(argument) : 1;
  if (!(ratio >= 0 && ratio <= 1))
    mistake(`OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not '${argument}'`);
  return { sampler: name ?? "parentbased_always_on", ratio };
}
