import { once } from "node:events";
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { fromBinary, type Message } from "@bufbuild/protobuf";
import { abort, type Call, requestIdFrom } from "../../../calls/call.ts";
import { type Connection, connectionOfStream } from "../../../calls/connection.ts";
import { type Credentials, HeaderCredentials } from "../../../calls/credentials.ts";
import { keptHeaders } from "../../../calls/forwarded.ts";
import { partTaken } from "../../../calls/open-stream.ts";
import { asServiceError, type ServerStream } from "../../../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../../../domain/errors.ts";
import { unknownFlags } from "../message-flags.ts";
import { headBytes, messageLength } from "./envelope.ts";
import { errorTrailers, grpcHeaders, respondWithError, sendOk } from "./grpc-response.ts";
import { discardRest } from "./http2-stream.ts";
import type { Lane, LaneCall, LaneServerStreamMethod } from "./lane.ts";

/** A gRPC call with one request and any number of answers, on a bare HTTP/2 stream. */
export class ServerStreamCall implements Call, LaneCall {
  readonly protocol = "grpc";
  readonly requestId: string;
  readonly connection: Connection;
  slot = -1;
  readonly startedAt = performance.now();
  abortedWith: ErrorMessageId | undefined = undefined;
  onAbort: ((reason: ErrorMessageId) => void) | undefined = undefined;

  readonly #lane: Lane;
  readonly #method: LaneServerStreamMethod;
  readonly stream: ServerHttp2Stream;
  /** Only those that name the client, once the stream is open. */
  #headers: IncomingHttpHeaders;
  /** Set when the caller is authenticated and the stream has a place. */
  #opened: ServerStream | undefined;
  /** Aborted when the call is over. */
  readonly #over = new AbortController();
  #deadline: NodeJS.Timeout | undefined;
  /** The request so far. */
  #chunks: Buffer[] = [];
  #size = 0;
  #isReading = true;
  #error: ServiceError | undefined;

  constructor(
    lane: Lane,
    method: LaneServerStreamMethod,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
  ) {
    this.requestId = requestIdFrom(headers["x-request-id"]);
    this.connection = connectionOfStream(stream);
    this.#headers = headers;
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
    void this.#open();
  }

  get headers(): IncomingHttpHeaders {
    return this.#headers;
  }

  get credentials(): Credentials {
    return new HeaderCredentials(this.#headers);
  }

  /** Whether its request is still being read. */
  get isReading(): boolean {
    return this.#isReading;
  }

  setDeadline(timeoutMs: number | undefined): void {
    if (timeoutMs === undefined || this.#over.signal.aborted) return;
    this.#deadline = setTimeout(() => this.abort("downlease.call.timed_out"), timeoutMs);
  }

  abort(reason: ErrorMessageId): void {
    if (this.#over.signal.aborted) return;
    abort(this, reason);
    this.#finish(new ServiceError(reason));
  }

  async #open(): Promise<void> {
    const { stream } = this;
    try {
      const opened = this.#method.run(this);
      this.#opened = opened instanceof Promise ? await opened : opened;
    } catch (reason) {
      this.#finish(asServiceError(reason, this));
      return;
    }
    if (this.#over.signal.aborted) {
      this.#opened.end(this.#error);
      return;
    }
    this.#headers = keptHeaders(this.#headers);
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("end", () => this.#complete());
  }

  #read(chunk: Buffer): void {
    if (this.#over.signal.aborted) return;
    this.#size += chunk.length;
    const { maxMessageBytes } = this.#lane;
    if (this.#size > headBytes + maxMessageBytes) {
      this.#finish(new ServiceError("downlease.request.too_large", [`${maxMessageBytes}`]));
    } else {
      this.#chunks.push(chunk);
    }
  }

  #complete(): void {
    // A reset also raises `end`.
    if (this.stream.closed || this.#over.signal.aborted) return;
    const body = Buffer.concat(this.#chunks);
    this.#chunks = [];
    if (body.length >= headBytes && body[0] !== 0) {
      this.#finish(unknownFlags());
    } else if (body.length < headBytes || messageLength(body, 0) < body.length - headBytes) {
      this.#finish(new ServiceError("downlease.request.message_count"));
    } else {
      this.#run(body);
    }
  }

  #run(body: Buffer): void {
    let request: Message;
    try {
      if (messageLength(body, 0) > body.length - headBytes) throw new RangeError("incomplete");
      request = fromBinary(this.#method.method.input, body.subarray(headBytes));
    } catch {
      this.#finish(new ServiceError("downlease.request.malformed", ["a message is not well-formed"]));
      return;
    }
    this.#isReading = false;
    void this.#send(request);
  }

  /** Sends the answers no faster than the caller takes them. */
  async #send(request: Message): Promise<void> {
    const { stream } = this;
    const { signal } = this.#over;
    stream.on("wantTrailers", () => this.#sendTrailers());
    try {
      for await (const response of this.#opened!.answers(request)) {
        if (signal.aborted) return;
        if (!stream.headersSent) stream.respond(grpcHeaders(this.requestId), { waitForTrailers: true });
        if (!stream.write(this.#method.envelope(response))) await once(stream, "drain", { signal });
        partTaken(stream);
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
    this.#chunks = [];
    clearTimeout(this.#deadline);
    this.#over.abort();
    this.#opened?.end(error);
    const { stream } = this;
    if (stream.closed) return;
    if (stream.headersSent) {
      stream.end();
    } else if (error === undefined) {
      stream.respond(grpcHeaders(this.requestId), { waitForTrailers: true });
      stream.end();
    } else {
      respondWithError(stream, this.requestId, error);
      stream.close(constants.NGHTTP2_NO_ERROR);
    }
  }

  #sendTrailers(): void {
    const { stream } = this;
    if (this.#error === undefined) sendOk.call(stream);
    else stream.sendTrailers(errorTrailers(this.#error));
    discardRest(stream);
  }
}
