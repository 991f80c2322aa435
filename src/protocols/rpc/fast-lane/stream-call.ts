import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { fromBinary, type Message } from "@bufbuild/protobuf";
import { abort, type Call, requestIdFrom } from "../../../calls/call.ts";
import { type Connection, connectionOfStream } from "../../../calls/connection.ts";
import { type Credentials, HeaderCredentials } from "../../../calls/credentials.ts";
import { keptHeaders } from "../../../calls/forwarded.ts";
import { limitsOwnRequest, partTaken } from "../../../calls/open-stream.ts";
import { asServiceError, type Conversation } from "../../../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../../../domain/errors.ts";
import { unknownFlags } from "../message-flags.ts";
import { silent } from "../patience.ts";
import { headBytes, messageLength } from "./envelope.ts";
import { errorTrailers, grpcHeaders, respondWithError, sendOk } from "./grpc-response.ts";
import { discardRest } from "./http2-stream.ts";
import type { Lane, LaneCall, LaneStreamMethod } from "./lane.ts";

/** Requests that may wait for earlier answers; beyond it the stream is not read. */
const maxWaiting = 1000;

/**
 * A bidirectional gRPC stream on a bare HTTP/2 stream: one answer for each request, in order. Requests that arrive
 * while others are being answered are answered together, so the cost of a request falls as the load rises.
 */
export class StreamCall implements Call, LaneCall {
  readonly protocol = "grpc";
  readonly requestId: string;
  readonly connection: Connection;
  slot = -1;
  readonly startedAt = performance.now();
  abortedWith: ErrorMessageId | undefined = undefined;
  onAbort: ((reason: ErrorMessageId) => void) | undefined = undefined;

  readonly #lane: Lane;
  readonly #method: LaneStreamMethod;
  readonly stream: ServerHttp2Stream;
  /** Only those that name the client, once the stream is open. */
  #headers: IncomingHttpHeaders;
  /** Set when the stream is open. */
  #conversation: Conversation | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** Bytes of a request that is still incomplete. */
  #rest: Buffer = nothing;
  #waiting: Message[] = [];
  /** Whether a whole request has arrived. */
  #hasSpoken = false;
  /** When a request has arrived for the last time; kept only where a silence between two is limited. */
  #heardAt = this.startedAt;
  #isAnswering = false;
  /** Why reading has stopped: the caller has sent everything, or an error to send after the remaining answers. */
  #end: "complete" | ServiceError | undefined;
  #isOver = false;

  constructor(lane: Lane, method: LaneStreamMethod, stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.requestId = requestIdFrom(headers["x-request-id"]);
    this.connection = connectionOfStream(stream);
    this.#headers = headers;
    this.#lane = lane;
    this.#method = method;
    this.stream = stream;
    limitsOwnRequest(stream);
    lane.calls.add(this);
    // `close` follows every error.
    stream.on("error", ignore);
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

  setDeadline(timeoutMs: number | undefined): void {
    if (timeoutMs === undefined) return;
    this.#deadline = setTimeout(() => this.abort("downlease.call.timed_out"), timeoutMs);
  }

  /** Responds once the caller is authenticated and the stream has a place, and reads from then on. */
  async #open(): Promise<void> {
    try {
      this.#conversation = await this.#method.run(this);
    } catch (reason) {
      this.#refuse(asServiceError(reason, this));
      return;
    }
    this.#headers = keptHeaders(this.#headers);
    const { stream } = this;
    if (!stream.closed) {
      stream.respond(grpcHeaders(this.requestId), { waitForTrailers: true });
      stream.on("wantTrailers", () => this.#sendTrailers());
      stream.on("data", (chunk: Buffer) => this.#read(chunk));
      stream.on("end", () => {
        // A reset also raises `end`.
        if (stream.closed) this.abort("downlease.call.canceled");
        else this.#stopReading(this.#rest.length === 0 ? "complete" : incomplete());
      });
      stream.on("drain", () => {
        partTaken(stream);
        void this.#answerAll();
      });
    }
    void this.#answerAll();
  }

  #refuse(error: ServiceError): void {
    this.#leave();
    if (this.stream.closed) return;
    respondWithError(this.stream, this.requestId, error);
    // At once: a caller that opens many streams must not have each for a second longer.
    this.stream.close(constants.NGHTTP2_NO_ERROR);
  }

  /** Ends the stream now, with an error in place of the outstanding answers. */
  abort(reason: ErrorMessageId): void {
    if (this.#isOver) return;
    this.#waiting = [];
    this.#end = new ServiceError(reason);
    abort(this, reason);
    void this.#answerAll();
  }

  /** Ends the stream with an error once every request that has been read is answered. */
  end(reason: ErrorMessageId): void {
    this.#stopReading(new ServiceError(reason));
  }

  /** Ends the stream with an error when its caller has sent no request for too long. */
  endIfSilent(now: number): void {
    const { firstMs, nextMs = Number.POSITIVE_INFINITY } = this.#method.patience;
    const limitMs = this.#hasSpoken ? nextMs : firstMs;
    if (this.#heardAt <= now - limitMs) this.#stopReading(silent(limitMs));
  }

  #read(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let offset = 0;
    while (bytes.length - offset >= headBytes) {
      const length = messageLength(bytes, offset);
      if (length > this.#lane.maxMessageBytes) {
        this.#stopReading(new ServiceError("downlease.request.too_large", [`${this.#lane.maxMessageBytes}`]));
        return;
      }
      if (bytes[offset] !== 0) {
        this.#stopReading(unknownFlags());
        return;
      }
      const end = offset + headBytes + length;
      if (end > bytes.length) break;
      try {
        this.#waiting.push(fromBinary(this.#method.method.input, bytes.subarray(offset + headBytes, end)));
      } catch {
        this.#stopReading(malformed("a message is not well-formed"));
        return;
      }
      offset = end;
    }
    if (offset > 0) {
      this.#hasSpoken = true;
      if (this.#method.patience.nextMs !== undefined) this.#heardAt = performance.now();
    }
    // A copy: a view would keep all that was received together with it.
    this.#rest = offset === bytes.length ? nothing : Buffer.from(bytes.subarray(offset));
    if (this.#waiting.length >= maxWaiting) this.stream.pause();
    void this.#answerAll();
  }

  #stopReading(end: "complete" | ServiceError): void {
    this.#end ??= end;
    void this.#answerAll();
  }

  /** Answers the waiting requests, one group after the other, while the caller reads the answers. */
  async #answerAll(): Promise<void> {
    const conversation = this.#conversation;
    if (conversation === undefined || this.#isAnswering || this.#isOver) return;
    this.#isAnswering = true;
    while (this.#waiting.length > 0 && !this.stream.writableNeedDrain && this.abortedWith === undefined) {
      const requests = this.#waiting;
      this.#waiting = [];
      if (this.stream.isPaused()) this.stream.resume();
      try {
        this.#write(await conversation.answer(requests));
      } catch (reason) {
        this.#waiting = [];
        this.#end = asServiceError(reason, this);
      }
    }
    this.#isAnswering = false;
    if (this.#waiting.length === 0 && this.#end !== undefined) this.#finish();
  }

  #write(responses: readonly Message[]): void {
    if (this.stream.closed) return;
    const bytes = Buffer.concat(responses.map(this.#method.envelope));
    this.stream.write(bytes);
    this.connection.answered(bytes.length);
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#leave();
    this.#conversation?.end(this.#end === "complete" ? undefined : this.#end);
    if (!this.stream.closed) this.stream.end();
  }

  #leave(): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
  }

  #sendTrailers(): void {
    const { stream } = this;
    if (this.#end === "complete" || this.#end === undefined) sendOk.call(stream);
    else stream.sendTrailers(errorTrailers(this.#end));
    discardRest(stream);
  }
}

const nothing = Buffer.alloc(0);

function ignore(): void {}

function incomplete(): ServiceError {
  return malformed("the stream ends in the middle of a message");
}

function malformed(reason: string): ServiceError {
  return new ServiceError("downlease.request.malformed", [reason]);
}
