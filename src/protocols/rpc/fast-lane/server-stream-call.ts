import { once } from "node:events";
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { fromBinary, type Message } from "@bufbuild/protobuf";
import { requestIdFrom } from "../../../calls/call.ts";
import { type Connection, connectionOfStream } from "../../../calls/connection.ts";
import { asServiceError } from "../../../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../../../domain/errors.ts";
import { unknownFlags } from "../message-flags.ts";
import { headBytes, messageLength } from "./envelope.ts";
import { errorTrailers, grpcHeaders, respondWithError, sendOk } from "./grpc-response.ts";
import { discardRest } from "./http2-stream.ts";
import type { Lane, LaneCall, LaneServerStreamMethod } from "./lane.ts";

/** A gRPC call with one request and any number of answers, on a bare HTTP/2 stream. It has a place from the start. */
export class ServerStreamCall implements LaneCall {
  readonly protocol = "grpc";
  readonly requestId: string;
  readonly connection: Connection;
  slot = -1;
  readonly startedAt = performance.now();

  readonly #lane: Lane;
  readonly #method: LaneServerStreamMethod;
  readonly stream: ServerHttp2Stream;
  readonly #leave: (() => void) | undefined;
  /** Aborted when the call is over. */
  readonly #over = new AbortController();
  #deadline: NodeJS.Timeout | undefined;
  /** The request so far; undefined once it is complete. */
  #request: Buffer[] | undefined = [];
  #size = 0;
  #error: ServiceError | undefined;

  constructor(
    lane: Lane,
    method: LaneServerStreamMethod,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
  ) {
    this.requestId = requestIdFrom(headers["x-request-id"]);
    this.connection = connectionOfStream(stream);
    this.#lane = lane;
    this.#method = method;
    this.stream = stream;
    lane.calls.add(this);
    // `close` follows every error.
    stream.on("error", () => {});
    stream.on("close", () => {
      this.abort("downlease.call.canceled");
      lane.calls.remove(this);
    });
    try {
      const { protocol, requestId, connection } = this;
      this.#leave = method.takePlace({ protocol, requestId, connection, headers }, method.method);
    } catch (reason) {
      this.#finish(asServiceError(reason, this));
      return;
    }
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("end", () => this.#complete());
  }

  /** Whether its request is still being read. */
  get isReading(): boolean {
    return this.#request !== undefined;
  }

  setDeadline(timeoutMs: number | undefined): void {
    if (timeoutMs === undefined || this.#over.signal.aborted) return;
    this.#deadline = setTimeout(() => this.abort("downlease.call.timed_out"), timeoutMs);
  }

  abort(reason: ErrorMessageId): void {
    this.#finish(new ServiceError(reason));
  }

  #read(chunk: Buffer): void {
    this.#size += chunk.length;
    const { maxMessageBytes } = this.#lane;
    if (this.#size > headBytes + maxMessageBytes) {
      this.#finish(new ServiceError("downlease.request.too_large", [`${maxMessageBytes}`]));
    } else {
      this.#request?.push(chunk);
    }
  }

  #complete(): void {
    // A reset also raises `end`.
    if (this.stream.closed || this.#request === undefined) return;
    const body = Buffer.concat(this.#request);
    this.#request = undefined;
    if (body.length >= headBytes && body[0] !== 0) {
      this.#finish(unknownFlags());
    } else if (body.length < headBytes || messageLength(body, 0) < body.length - headBytes) {
      this.#finish(new ServiceError("downlease.request.message_count"));
    } else {
      this.#run(body);
    }
  }

  #run(body: Buffer): void {
    try {
      if (messageLength(body, 0) > body.length - headBytes) throw new RangeError("incomplete");
      void this.#send(fromBinary(this.#method.method.input, body.subarray(headBytes)));
    } catch {
      this.#finish(new ServiceError("downlease.request.malformed", ["a message is not well-formed"]));
    }
  }

  /** Sends the answers no faster than the caller reads them. */
  async #send(request: Message): Promise<void> {
    const { stream } = this;
    const { signal } = this.#over;
    stream.respond(grpcHeaders(this.requestId), { waitForTrailers: true });
    stream.on("wantTrailers", () => this.#sendTrailers());
    try {
      for await (const response of this.#method.run(request, signal)) {
        if (signal.aborted) return;
        if (!stream.write(this.#method.envelope(response))) await once(stream, "drain", { signal });
      }
      this.#finish(undefined);
    } catch (reason) {
      this.#finish(asServiceError(reason, this));
    }
  }

  /** Has an effect only once. */
  #finish(error: ServiceError | undefined): void {
    if (this.#over.signal.aborted) return;
    this.#error = error;
    this.#request = undefined;
    clearTimeout(this.#deadline);
    this.#leave?.();
    this.#over.abort();
    const { stream } = this;
    if (stream.closed) return;
    if (stream.headersSent || error === undefined) {
      stream.end();
      return;
    }
    respondWithError(stream, this.requestId, error);
    stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #sendTrailers(): void {
    const { stream } = this;
    if (this.#error === undefined) sendOk.call(stream);
    else stream.sendTrailers(errorTrailers(this.#error));
    discardRest(stream);
  }
}
