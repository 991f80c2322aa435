import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { CallOrigin } from "../../../calls/call.ts";
import type { HttpRequest, HttpResponse } from "../../../calls/http.ts";
import type { Entry, StreamEntry } from "../../../calls/pipeline.ts";
import type { ErrorKind, ErrorMessageId } from "../../../domain/errors.ts";
import type { TakePlace } from "../open-streams.ts";
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

/** Answers one request any number of times, until the signal aborts. */
export type ServerStream = (request: Message, over: AbortSignal) => AsyncIterable<Message>;

export interface LaneServerStreamMethod extends LaneMethod<ServerStream> {
  readonly takePlace: TakePlace;
}

/**
 * A call in flight on the fast lane. A call ends in one of three ways: `abort` answers with an error without waiting
 * for the operation, `cut` resets the connection or stream without an answer, and a stream's `end` first answers every
 * request that has been read.
 */
export interface LaneCall {
  /** Index in `LaneCalls`. */
  slot: number;
  /** Milliseconds, as of `performance.now()`. */
  readonly startedAt: number;
  /** Whether the request is still being read. */
  readonly isReading: boolean;
  abort(reason: ErrorMessageId): void;
  cut(): void;
}

/** What the calls on the fast lane share. */
export interface Lane {
  readonly calls: LaneCalls;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes: number;
}

/**
 * The calls in flight. A `Set` would do, but V8 keeps rebuilding the table of one that changes this fast, and a table
 * that has reached the old heap refers to its successor: all later calls then survive until a full collection.
 * Measured, that costs a fifth of a call.
 */
export class LaneCalls implements Iterable<LaneCall> {
  readonly #slots: (LaneCall | undefined)[] = [];
  readonly #free: number[] = [];

  add(call: LaneCall): void {
    call.slot = this.#free.pop() ?? this.#slots.length;
    this.#slots[call.slot] = call;
  }

  remove({ slot }: LaneCall): void {
    this.#slots[slot] = undefined;
    this.#free.push(slot);
  }

  *[Symbol.iterator](): Generator<LaneCall> {
    for (const call of this.#slots) if (call !== undefined) yield call;
  }
}
