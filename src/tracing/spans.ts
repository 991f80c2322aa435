import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingHttpHeaders } from "node:http";
import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapPropagator,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { ServiceError } from "../domain/errors.ts";

/** The spans of this process, and which of them is active where. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #propagator: TextMapPropagator;
  readonly #active = new AsyncLocalStorage<Context>();

  constructor(tracer: Tracer, propagator: TextMapPropagator) {
    this.#tracer = tracer;
    this.#propagator = propagator;
  }

  /**
   * Runs the work for a request in a new span, which continues the trace of the caller. The work ends the span.
   *
   * @param attributes called when the span is recorded: many are not
   */
  serve<T>(headers: IncomingHttpHeaders, name: string, attributes: () => Attributes, work: () => T): T {
    const parent = this.#propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    const span = this.#tracer.startSpan(name, server, parent);
    if (span.isRecording()) span.setAttributes(attributes());
    return this.#active.run(trace.setSpan(parent, span), work);
  }

  /** Runs a part of the work in a span of its own; outside of a span that is recorded it only runs it. */
  part<T>(name: string, kind: SpanKind, attributes: Attributes, work: () => T): T {
    const parent = this.#active.getStore();
    if (parent === undefined || !trace.getSpan(parent)?.isRecording()) return work();
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent);
    let result: T;
    try {
      result = this.#active.run(trace.setSpan(parent, span), work);
    } catch (error) {
      fail(span, error);
      throw error;
    }
    if (result instanceof Promise) {
      result.then(
        () => span.end(),
        (error) => fail(span, error),
      );
    } else {
      span.end();
    }
    return result;
  }

  /** The span of the code that asks. */
  get active(): Span | undefined {
    const context = this.#active.getStore();
    return context && trace.getSpan(context);
  }

  get traceId(): string | undefined {
    return this.active?.spanContext().traceId;
  }

  /** The headers that continue the trace at another service; none outside of a trace. */
  get headers(): Record<string, string> {
    const headers = {};
    const context = this.#active.getStore();
    if (context !== undefined) this.#propagator.inject(context, headers, defaultTextMapSetter);
    return headers;
  }
}

const server = { kind: SpanKind.SERVER };

/** Without the text of the error, which may have secrets. */
function fail(span: Span, error: unknown): void {
  const type =
    error instanceof ServiceError ? error.messageId : error instanceof Error ? error.name : "_OTHER";
  span.setAttribute("error.type", type);
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
