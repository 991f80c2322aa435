import { setTimeout as delay } from "node:timers/promises";
import { SpanKind } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "pino";
import type { DownloadObserver } from "../calls/download-record.ts";
import type { CallPipeline, CallPipelineOptions } from "../calls/pipeline.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import type { SamplerName, TracingConfig } from "../config/tracing.ts";
import type { Backend } from "../domain/backend.ts";
import type { ContentSource } from "../domain/content-source.ts";
import { TracedPipeline } from "./calls.ts";
import { ReportedExporter } from "./collector.ts";
import { tracedDownloadHandler, tracedDownloadObserver } from "./downloads.ts";
import { type Around, aroundMethods } from "./members.ts";
import { Spans } from "./spans.ts";

/** How long the last spans may take to reach the collector. */
const flushMs = 2000;

export interface TracingOptions {
  readonly program: { readonly name: string; readonly version: string };
  readonly log: Logger;
}

/** OpenTelemetry's traces of calls and downloads. It registers nothing globally. */
export class Tracing implements AsyncDisposable {
  readonly #provider: TracerProvider;
  readonly #spans: Spans;

  constructor({ sampler, ratio, batches }: TracingConfig, { program, log }: TracingOptions) {
    const resource = resourceFromAttributes({
      "service.name": program.name,
      "service.version": program.version,
      "service.instance.id": crypto.randomUUID(),
      "process.pid": process.pid,
    }).merge(detectResources({ detectors: [envDetector] }));
    const exporter = new ReportedExporter(new OTLPTraceExporter(), log);
    this.#provider = new TracerProvider({
      resource,
      sampler: samplers[sampler](ratio),
      spanProcessors: [new BatchSpanProcessor({ exporter, ...batches })],
    });
    const tracer = this.#provider.getTracer(program.name, program.version);
    this.#spans = new Spans(tracer, new W3CTraceContextPropagator());
  }

  pipeline(options: CallPipelineOptions): CallPipeline {
    return new TracedPipeline(options, this.#spans);
  }

  downloadHandler(handler: ProtocolHandler): ProtocolHandler {
    return tracedDownloadHandler(handler, this.#spans);
  }

  downloadObserver(observer: DownloadObserver): DownloadObserver {
    return tracedDownloadObserver(observer, this.#spans);
  }

  content(source: ContentSource): ContentSource {
    const around: Around = (name, call) => this.#spans.part(`content.${name}`, SpanKind.INTERNAL, {}, call);
    return aroundMethods(source, around);
  }

  /** A backend whose calls are spans; for one that makes its spans itself there is `roundTrip`. */
  backend(backend: Backend): Backend {
    const around: Around = (name, call) => {
      const attributes = { "db.system.name": "sqlite", "db.operation.name": name };
      return this.#spans.part(name, SpanKind.CLIENT, attributes, call);
    };
    return aroundMethods(backend, around);
  }

  /** A round trip to Redis. @param script its name */
  readonly roundTrip = <T>(script: string, work: () => T): T => {
    const attributes = { "db.system.name": "redis", "db.stored_procedure.name": script };
    return this.#spans.part(script, SpanKind.CLIENT, attributes, work);
  };

  /** The headers that continue the trace of the caller at another service. */
  readonly outgoingHeaders = (): Readonly<Record<string, string>> => this.#spans.headers;

  /** Sends the last spans, as far as the collector takes them at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    const flushed = this.#provider.shutdown().catch(() => {});
    await Promise.race([flushed, delay(flushMs, undefined, { ref: false })]);
  }
}

const ofParent = (root: Sampler) => new ParentBasedSampler({ root });

const samplers: Record<SamplerName, (ratio: number) => Sampler> = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (ratio) => new TraceIdRatioBasedSampler(ratio),
  parentbased_always_on: () => ofParent(new AlwaysOnSampler()),
  parentbased_always_off: () => ofParent(new AlwaysOffSampler()),
  parentbased_traceidratio: (ratio) => ofParent(new TraceIdRatioBasedSampler(ratio)),
};
