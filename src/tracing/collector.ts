import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import type { Logger } from "pino";

/** An exporter that logs when the collector fails for the first time, and when it is back. */
export class ReportedExporter implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #log: Logger;
  /** Spans lost since the collector failed. */
  #lost = 0;

  constructor(exporter: SpanExporter, log: Logger) {
    this.#exporter = exporter;
    this.#log = log;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, (result) => {
      if (result.code === ExportResultCode.SUCCESS) this.#succeeded();
      else this.#failed(spans.length, result.error);
      done(result);
    });
  }

  async shutdown(): Promise<void> {
    await this.#exporter.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#exporter.forceFlush?.();
  }

  #succeeded(): void {
    if (this.#lost > 0) this.#log.info({ lost: this.#lost }, "traces are exported again");
    this.#lost = 0;
  }

  #failed(spans: number, error: Error | undefined): void {
    if (this.#lost === 0)
      this.#log.warn(
        { reason: reasonOf(error) },
        "traces can't be exported and are dropped (OTEL_EXPORTER_…)",
      );
    this.#lost += spans;
  }
}

function reasonOf(error: (Error & { readonly code?: unknown }) | undefined): string {
  return String(error?.code ?? error?.message ?? "unknown");
}
