import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { fromBinary, type Message } from "@bufbuild/protobuf";
import { connectionOfStream } from "../../../calls/connection.ts";
import type { ServiceError } from "../../../domain/errors.ts";
import { headBytes, messageLength } from "./envelope.ts";
import { grpcHeaders, respondWithError, sendOk } from "./grpc-response.ts";
import { discardRest, handOverStream } from "./http2-stream.ts";
import type { Lane, LaneMethod } from "./lane.ts";
import { UnaryCall } from "./unary-call.ts";

/** A unary gRPC call on a bare HTTP/2 stream. */
export class GrpcCall extends UnaryCall {
  readonly protocol = "grpc";
  protected readonly maxBodyBytes: number;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #rawHeaders: readonly string[];

  constructor(
    lane: Lane,
    method: LaneMethod,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
  ) {
    super(lane, method, { body: stream, headers, connection: connectionOfStream(stream), stream });
    this.maxBodyBytes = headBytes + lane.maxMessageBytes;
    this.#stream = stream;
    this.#headers = headers;
    this.#rawHeaders = rawHeaders;
  }

  protected parse(body: Buffer): Message | undefined {
    // Exactly one message, not compressed.
    const isOneMessage =
      body.length >= headBytes && body[0] === 0 && messageLength(body, 0) === body.length - headBytes;
    return isOneMessage ? fromBinary(this.method.method.input, body.subarray(headBytes)) : undefined;
  }

  protected answer(response: Message): void {
    const stream = this.#stream;
    if (stream.closed) return;
    const message = this.method.envelope(response);
    stream.respond(
      grpcHeaders(this.returnsRequestId(this.method.isRoutine) ? this.requestId : undefined),
      waitForTrailers,
    );
    stream.on("wantTrailers", sendOk);
    stream.end(message);
    this.connection.answered(message.length);
  }

  protected refuse(error: ServiceError): void {
    const stream = this.#stream;
    if (stream.closed) return;
    respondWithError(stream, this.requestId, error);
    discardRest(stream);
  }

  protected handOver(body: AsyncIterable<Uint8Array>): void {
    handOverStream(this.method, this.#stream, this.#headers, this.#rawHeaders, body);
  }
}

const waitForTrailers = { waitForTrailers: true };
