import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { Message } from "@bufbuild/protobuf";
import { abort, ProtocolCall } from "../../../calls/call.ts";
import type { Connection } from "../../../calls/connection.ts";
import { asServiceError } from "../../../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../../../domain/errors.ts";
import type { Lane, LaneCall, LaneMethod } from "./lane.ts";

/** Where a request comes from. */
export interface Source {
  readonly body: Readable;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
}

const callOf = Symbol("call");
type Body = Readable & { [callOf]?: UnaryCall | undefined };

/**
 * A unary call on the fast lane, whatever its protocol: reads the request, runs the operation, answers. It knows the
 * way of a request that is in order; any other is handed over to Connect's runtime, with what has been read of it.
 */
export abstract class UnaryCall extends ProtocolCall implements LaneCall {
  readonly connection: Connection;
  slot = -1;
  readonly startedAt = performance.now();

  protected readonly method: LaneMethod;
  readonly #lane: Lane;
  readonly #body: Body;
  /** What has been read, nearly always in one piece. */
  #first: Buffer | undefined = undefined;
  #more: Buffer[] | undefined = undefined;
  #size = 0;
  #state: "reading" | "running" | "over" = "reading";
  #deadline: NodeJS.Timeout | undefined = undefined;

  constructor(lane: Lane, method: LaneMethod, { body, headers, connection }: Source) {
    super(headers);
    this.#lane = lane;
    this.method = method;
    this.connection = connection;
    this.#body = body;
    this.#body[callOf] = this;
    lane.calls.add(this);
    body.on("data", onData).on("end", onEnd);
  }

  get isReading(): boolean {
    return this.#state === "reading";
  }

  setDeadline(timeoutMs: number | undefined): void {
    if (timeoutMs === undefined) return;
    this.#deadline = setTimeout(() => this.end("downlease.call.timed_out"), timeoutMs);
  }

  /** Ends the call before its answer. */
  end(reason: ErrorMessageId): void {
    if (this.#state === "running") abort(this, reason);
    else if (this.#state === "reading") {
      const error = new ServiceError(reason);
      this.method.tellRefusal(this, performance.now() - this.startedAt, error.kind);
      this.#stopReading();
      this.#leave();
      this.refuse(error);
    }
  }

  /** Cuts off a caller who has sent half a request. */
  abstract cut(): void;

  /** Largest body that `parse` may be able to read. */
  protected abstract readonly largestBody: number;

  /** The request message; undefined or an error when the body is not in order. */
  protected abstract parse(body: Buffer): Message | undefined;

  /** Sends the answer, unless the caller is gone. */
  protected abstract answer(response: Message): void;

  /** Sends an error, unless the caller is gone. */
  protected abstract refuse(error: ServiceError): void;

  /** Lets Connect's runtime serve the request, whose body is given anew. */
  protected abstract handOver(body: AsyncIterable<Uint8Array>): void;

  /** For the listeners below. */
  take(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#more === undefined) this.#more = [chunk];
    else this.#more.push(chunk);
    if (this.#size > this.largestBody) {
      this.#stopReading();
      this.#giveUp(this.#body.iterator({ destroyOnReturn: false }));
    }
  }

  /** For the listeners below. */
  complete(): void {
    let request: Message | undefined;
    try {
      request = this.parse(this.#more === undefined ? (this.#first ?? nothing) : Buffer.concat(this.#read()));
    } catch {
      // Why it can't be read is told by the runtime that gets it now.
    }
    if (request === undefined) {
      this.#giveUp();
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

  #giveUp(rest?: AsyncIterable<Uint8Array>): void {
    this.#leave();
    this.handOver(joined(this.#read(), rest));
  }

  #read(): Buffer[] {
    return this.#first === undefined ? [] : [this.#first, ...(this.#more ?? [])];
  }

  #stopReading(): void {
    this.#body.off("data", onData).off("end", onEnd);
  }

  #leave(): void {
    this.#state = "over";
    // Node keeps a stream until the next collection of the old heap: it must not keep the call as well.
    this.#body[callOf] = undefined;
    this.#lane.calls.remove(this);
    if (this.#deadline !== undefined) clearTimeout(this.#deadline);
  }
}

const nothing = Buffer.alloc(0);

/** Listeners without an object of their own for each call. */
function onData(this: Body, chunk: Buffer): void {
  this[callOf]?.take(chunk);
}
function onEnd(this: Body): void {
  // Also the body of a stream that was closed in the middle ends, as if it were whole.
  if (this.closed) this[callOf]?.end("downlease.call.canceled");
  else this[callOf]?.complete();
}

/** For the `close` event of the body, where that tells that the caller is gone. */
export function onGone(this: Body): void {
  this[callOf]?.end("downlease.call.canceled");
}

async function* joined(chunks: readonly Uint8Array[], rest?: AsyncIterable<Uint8Array>) {
  yield* chunks;
  if (rest !== undefined) yield* rest;
}
