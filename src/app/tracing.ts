import type { Logger } from "pino";
import type { DownloadObserver } from "../calls/download-record.ts";
import { CallPipeline, type CallPipelineOptions } from "../calls/pipeline.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import { program } from "../config/program.ts";
import type { Config } from "../config/settings.ts";
import type { Backend } from "../domain/backend.ts";
import type { ContentSource } from "../domain/content-source.ts";
import type { TraceHeaders, TraceStore } from "../domain/trace.ts";
import { StartError } from "./start-error.ts";

/** What makes the spans of each part of the service. */
export interface Tracing extends AsyncDisposable {
  pipeline(options: CallPipelineOptions): CallPipeline;
  downloadHandler(handler: ProtocolHandler): ProtocolHandler;
  downloadObserver(observer: DownloadObserver): DownloadObserver;
  content(source: ContentSource): ContentSource;
  /** For a backend that does not use `roundTrip`. */
  backend(backend: Backend): Backend;
  readonly roundTrip: TraceStore | undefined;
  readonly outgoingHeaders: TraceHeaders | undefined;
}

/** Every part as it is, so that it costs nothing that there could be traces. */
const untraced: Tracing = {
  pipeline: (options) => new CallPipeline(options),
  downloadHandler: (handler) => handler,
  downloadObserver: (observer) => observer,
  content: (source) => source,
  backend: (backend) => backend,
  roundTrip: undefined,
  outgoingHeaders: undefined,
  async [Symbol.asyncDispose]() {},
};

/** Loads OpenTelemetry when its variables ask for traces. @throws StartError when it is not installed */
export async function openTracing({ tracing }: Config, log: Logger): Promise<Tracing> {
  if (tracing === undefined) return untraced;
  const { Tracing } = await import("../tracing/tracing.ts").catch(explainMissingPackage);
  return new Tracing(tracing, { program, log });
}

/** They are optional dependencies. */
function explainMissingPackage(error: unknown): never {
  const missing =
    error instanceof Error && /^Cannot find package '(@opentelemetry\/[^']+)'/.exec(error.message)?.[1];
  if (!missing) throw error;
  throw new StartError(
    `traces (OTEL_… variables) need the package ${missing}, an optional dependency that is not installed: ` +
      "install downlease without --omit=optional, or set OTEL_SDK_DISABLED=true",
    { cause: error },
  );
}
