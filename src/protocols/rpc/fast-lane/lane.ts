import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { CallOrigin } from "../../../calls/call.ts";
import type { HttpRequest, HttpResponse } from "../../../calls/http.ts";
import type { Entry, StreamEntry } from "../../../calls/pipeline.ts";
import type { ErrorKind, ErrorMessageId } from "../../../domain/errors.ts";

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
  /** Its place in `LaneCalls`. */
  slot: number;
  /** Milliseconds, as of `performance.now()`. */
  readonly startedAt: number;
  /** Whether the caller still owes a part of the request. */
  readonly isReading: boolean;
  end(reason: ErrorMessageId): void;
  cut(): void;
}

/** What the calls on the fast lane share. */
export interface Lane {
  readonly calls: LaneCalls;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes: number;
}

/**
 * The calls under way. A `Set` would do the same, but of one whose members come and go so fast V8 makes a new table
 * again and again; an old one that has lived long enough to get into the old heap refers to its successor, and keeps
 * all the calls since then from being freed cheaply. That was measured to cost a fifth of a call.
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
