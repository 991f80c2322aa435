import type { IncomingHttpHeaders } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";
import type { Message } from "@bufbuild/protobuf";
import { abort, HttpCall } from "../../../calls/call.ts";
import type { Connection } from "../../../calls/connection.ts";
import { asServiceError } from "../../../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../../../domain/errors.ts";
import type { Lane, LaneCall, LaneMethod } from "./lane.ts";

/** The request of a unary call. */
export interface UnaryRequest {
  readonly body: Readable;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  /** Undefined over HTTP/1. */
  readonly stream: ServerHttp2Stream | undefined;
}

const callOf = Symbol("call");
type CallBody = Readable & { [callOf]?: UnaryCall | undefined };

/**
 * A unary call on the fast lane, of any protocol: reads the request, runs the operation, answers. A request that it
 * cannot parse is handed over to Connect's runtime, together with the bytes already read.
 */
export abstract class UnaryCall extends HttpCall implements LaneCall {
  readonly connection: Connection;
  readonly stream: ServerHttp2Stream | undefined;
  slot = -1;
  readonly startedAt = performance.now();

  protected readonly method: LaneMethod;
  readonly #lane: Lane;
  readonly #body: CallBody;
  /** The body so far, nearly always a single chunk. */
  #first: Buffer | undefined = undefined;
  #more: Buffer[] | undefined = undefined;
  #size = 0;
  #state: "reading" | "running" | "over" = "reading";
  #deadline: NodeJS.Timeout | undefined = undefined;

  constructor(lane: Lane, method: LaneMethod, { body, headers, connection, stream }: UnaryRequest) {
    super(headers);
    this.#lane = lane;
    this.method = method;
    this.connection = connection;
    this.stream = stream;
    this.#body = body;
    this.#body[callOf] = this;
    lane.calls.add(this);
    body.on("data", onData).on("end", onEnd);
    // `close` follows every error.
    stream?.on("error", ignore).on("close", onClose);
  }

  setDeadline(timeoutMs: number | undefined): void {
    if (timeoutMs === undefined) return;
    this.#deadline = setTimeout(() => this.abort("downlease.call.timed_out"), timeoutMs);
  }

  /** Ends the call with an error, before its answer. */
  abort(reason: ErrorMessageId): void {
    if (this.#state === "running") abort(this, reason);
    else if (this.#state === "reading") {
      const error = new ServiceError(reason);
      this.method.recordRefusal(this, performance.now() - this.startedAt, error.kind);
      this.#stopReading();
      this.#leave();
      this.refuse(error);
    }
  }

  /** Largest body that `parse` accepts; a longer one goes to Connect's runtime. */
  protected abstract readonly maxBodyBytes: number;

  /** The request message; undefined or an error when the body is malformed. */
  protected abstract parse(body: Buffer): Message | undefined;

  /** Sends the answer, unless the caller has gone away. */
  protected abstract answer(response: Message): void;

  /** Sends an error, unless the caller has gone away. */
  protected abstract refuse(error: ServiceError): void;

  /** Lets Connect's runtime serve the request. @param body the whole body, from its first byte */
  protected abstract handOver(body: AsyncIterable<Uint8Array>): void;

  /** For the listeners below. */
  take(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#more === undefined) this.#more = [chunk];
    else this.#more.push(chunk);
    if (this.#size > this.maxBodyBytes) {
      this.#stopReading();
      this.#passToRuntime(this.#body.iterator({ destroyOnReturn: false }));
    }
  }

  /** For the listeners below. */
  closed(): void {
    this.abort("downlease.call.canceled");
    this.#forget();
  }

  /** For the listeners below. */
  complete(): void {
    let request: Message | undefined;
    try {
      request = this.parse(
        this.#more === undefined ? (this.#first ?? nothing) : Buffer.concat(this.#chunks()),
      );
    } catch {
      // The runtime that takes over reports what is wrong.
    }
    if (request === undefined) {
      this.#passToRuntime();
      return;
    }
    this.#state = "running";
    this.method.run(request, this).then(
      (response) => {
        this.#leave();
        try {
          this.answer(response);
        } catch (reason) {
          this.refuse(asServiceError(reason, this));
        }
      },
      (error: ServiceError) => {
        this.#leave();
        this.refuse(error);
      },
    );
  }

  #passToRuntime(rest?: AsyncIterable<Uint8Array>): void {
    this.#leave();
    this.handOver(concatenated(this.#chunks(), rest));
  }

  #chunks(): Buffer[] {
    return this.#first === undefined ? [] : [this.#first, ...(this.#more ?? [])];
  }

  #stopReading(): void {
    this.#body.off("data", onData).off("end", onEnd);
  }

  #leave(): void {
    this.#state = "over";
    if (this.#deadline !== undefined) clearTimeout(this.#deadline);
    // Over HTTP/2 the limits of the stream go on until it is closed.
    if (this.stream === undefined) this.#forget();
  }

  #forget(): void {
    // Node.js keeps a stream until the next collection of the old heap; it must not keep the call with it.
    this.#body[callOf] = undefined;
    this.#lane.calls.remove(this);
  }
}

const nothing = Buffer.alloc(0);

/** Shared listeners: no closure for each call. */
function onData(this: CallBody, chunk: Buffer): void {
  this[callOf]?.take(chunk);
}
function onEnd(this: CallBody): void {
  // The body of a stream that was reset half-way also raises `end`.
  if (this.closed) this[callOf]?.abort("downlease.call.canceled");
  else this[callOf]?.complete();
}

function onClose(this: CallBody): void {
  this[callOf]?.closed();
}
function ignore(): void {}

async function* concatenated(chunks: readonly Uint8Array[], rest?: AsyncIterable<Uint8Array>) {
  yield* chunks;
  if (rest !== undefined) yield* rest;
}
