import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { ErrorKind, ErrorMessageId } from "../../domain/errors.ts";
import type { CallOrigin } from "../../operations/call.ts";
import type { Entry, StreamEntry } from "../../operations/corridor.ts";
import type { HttpRequest, HttpResponse } from "../../operations/http.ts";

/** Serves a request by Connect's runtime; `body` replaces what has been read of the request's own. */
export type ServeStock = (
  request: HttpRequest,
  response: HttpResponse,
  body?: AsyncIterable<Uint8Array>,
) => void;

/** A method as the fast lane sees it. */
export interface LaneMethod<Run = Entry> {
  readonly method: DescMethod;
  /** As of the operation: what goes on all day. */
  readonly isRoutine: boolean;
  readonly run: Run;
  /** A gRPC answer in its envelope. */
  readonly envelope: (response: Message) => Buffer;
  readonly serveStock: ServeStock;
  /** Tells of a request that ended without having become a call. */
  readonly tellRefusal: (origin: CallOrigin, durationMs: number, outcome: ErrorKind) => void;
}

export type LaneStreamMethod = LaneMethod<StreamEntry>;

/** A call under way on the fast lane. */
export interface LaneCall {
  /** Milliseconds, as of `performance.now()`. */
  readonly startedAt: number;
  /** Whether the caller still owes a part of the request. */
  readonly isReading: boolean;
  end(reason: ErrorMessageId): void;
  cut(): void;
}

/** What the calls on the fast lane share. */
export interface Lane {
  /** Calls under way, oldest first. */
  readonly calls: Set<LaneCall>;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes: number;
}
