import { AsyncLocalStorage } from "node:async_hooks";
import { type Attributes, type Span, SpanStatusCode } from "@opentelemetry/api";
import type { Call, CallRecord, Protocol } from "../calls/call.ts";
import {
  CallPipeline,
  type CallPipelineOptions,
  type Entry,
  type Operation,
  type ServerStreamEntry,
  type ServerStreamOperation,
  type StreamEntry,
  type StreamOperation,
} from "../calls/pipeline.ts";
import { errorKinds } from "../domain/errors.ts";
import { beginningOf } from "../telemetry/logged-id.ts";
import type { Spans } from "./spans.ts";

/** Runs something in the span of a stream, by its call. */
type SpansOfStreams = WeakMap<object, ReturnType<typeof AsyncLocalStorage.snapshot>>;

/** The pipeline whose calls are spans, from the admission to the outcome. A stream is one span, without its messages. */
export class TracedPipeline extends CallPipeline {
  readonly #spans: Spans;
  readonly #addressOf: CallPipelineOptions["clientAddressOf"];
  readonly #spansOfStreams: SpansOfStreams;

  constructor(options: CallPipelineOptions, spans: Spans) {
    const spansOfStreams: SpansOfStreams = new WeakMap();
    const observe = (record: CallRecord) => {
      const { active, traceId } = spans;
      if (active?.isRecording()) end(active, record);
      options.observe({ ...record, traceId });
    };
    const { audit } = options;
    super({
      ...options,
      observe(record) {
        const inSpan = spansOfStreams.get(record.call);
        if (inSpan === undefined) observe(record);
        else inSpan(observe, record);
      },
      audit: audit && ((record) => audit({ ...record, traceId: spans.traceId })),
    });
    this.#spansOfStreams = spansOfStreams;
    this.#spans = spans;
    this.#addressOf = options.clientAddressOf;
  }

  override entry(row: Operation): Entry {
    const run = super.entry(row);
    const name = fullNameOf(row);
    return (source, call) =>
      this.#serve(name, call, () => {
        const response = run(source, call);
        // An abort comes from an event of the connection, outside of the span.
        if (call.onAbort !== undefined) call.onAbort = AsyncLocalStorage.bind(call.onAbort);
        return response;
      });
  }

  override streamEntry(row: StreamOperation): StreamEntry {
    const open = super.streamEntry(row);
    const name = fullNameOf(row);
    return (call) =>
      this.#serve(name, call, async () => {
        const conversation = await open(call);
        return {
          answer: conversation.answer,
          end: AsyncLocalStorage.bind(conversation.end),
        };
      });
  }

  /** Its end may come from anywhere: an event of the connection, a timer, the stop of the server. */
  override serverStreamEntry(row: ServerStreamOperation, streamsMustEnd: AbortSignal): ServerStreamEntry {
    const open = super.serverStreamEntry(row, streamsMustEnd);
    const name = fullNameOf(row);
    return (call) =>
      this.#serve(name, call, () => {
        this.#spansOfStreams.set(call, AsyncLocalStorage.snapshot());
        return open(call);
      });
  }

  #serve<T>(fullName: string, call: Call, work: () => T): T {
    const { protocol, headers, rest } = call;
    const name = rest === undefined ? fullName : `${rest.method} ${rest.template}`;
    const attributes = () => ({
      "rpc.method": fullName,
      "client.address": this.#addressOf(call),
      ...(rest === undefined
        ? { "rpc.system.name": systems[protocol] }
        : { "http.request.method": rest.method, "http.route": rest.template }),
    });
    return this.#spans.serve(headers, name, attributes, work);
  }
}

/** For example `cis.v1.SessionService/Create`. */
function fullNameOf({ method }: Pick<Operation | StreamOperation | ServerStreamOperation, "method">): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** As OpenTelemetry's conventions name them. */
const systems: Record<Protocol, string> = {
  grpc: "grpc",
  grpc_web: "grpc",
  connect: "connectrpc",
  json_rpc: "jsonrpc",
  soap: "soap",
  rest: "rest",
};

function end(span: Span, { call: { protocol, rest }, outcome, sessionId, error }: CallRecord): void {
  if (rest !== undefined) span.setAttribute("http.response.status_code", rest.status(outcome));
  else span.setAttributes(statusOf(protocol, outcome));
  if (sessionId !== undefined) span.setAttribute("downlease.session", beginningOf(sessionId));
  if (error !== undefined) span.setAttribute("error.type", error.messageId);
  // What a caller has done wrong is no error of the service.
  if (outcome !== "ok" && errorKinds[outcome].http >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

function statusOf(protocol: Protocol, outcome: CallRecord["outcome"]): Attributes {
  const code = outcome === "ok" ? "OK" : errorKinds[outcome].grpc;
  if (protocol === "grpc" || protocol === "grpc_web") return { "rpc.status_code": code };
  // Connect has codes for errors only.
  return protocol === "connect" && outcome !== "ok" ? { "rpc.status_code": code.toLowerCase() } : {};
}
