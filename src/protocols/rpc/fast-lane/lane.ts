import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { CallOrigin } from "../../../calls/call.ts";
import type { HttpRequest, HttpResponse } from "../../../calls/http.ts";
import type { OpenStream } from "../../../calls/open-stream.ts";
import type { Entry, ServerStreamEntry, StreamEntry } from "../../../calls/pipeline.ts";
import type { Slots } from "../../../calls/slots.ts";
import type { ErrorKind, ErrorMessageId } from "../../../domain/errors.ts";
import type { Patience } from "../patience.ts";

/** Serves a request with Connect's runtime; `body`, when given, replaces the request's own. */
export type ServeByRuntime = (
  request: HttpRequest,
  response: HttpResponse,
  body?: AsyncIterable<Uint8Array>,
) => void;

/** A method as the fast lane sees it. */
export interface LaneMethod<Run = Entry> {
  readonly method: DescMethod;
  /** High volume: successes are logged at debug. */
  readonly isRoutine: boolean;
  readonly run: Run;
  /** Encodes a gRPC response with its envelope. */
  readonly envelope: (response: Message) => Buffer;
  readonly serveByRuntime: ServeByRuntime;
  /** Records a request that ended before it became a call. */
  readonly recordRefusal: (call: CallOrigin, durationMs: number, outcome: ErrorKind) => void;
}

export interface LaneStreamMethod extends LaneMethod<StreamEntry> {
  readonly patience: Patience;
}

export type LaneServerStreamMethod = LaneMethod<ServerStreamEntry>;

/**
 * A call on the fast lane, from its headers until its stream is closed, over HTTP/1 until it is answered. `abort` answers
 * with an error without waiting for the operation; a stream's `end` first answers every request that has been read.
 */
export interface LaneCall extends OpenStream {
  abort(reason: ErrorMessageId): void;
}

/** What the calls on the fast lane share. */
export interface Lane {
  readonly calls: Slots<LaneCall>;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes: number;
}
