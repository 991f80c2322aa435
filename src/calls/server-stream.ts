import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { ServiceError } from "../domain/errors.ts";
import type { Caller } from "../domain/session.ts";
import { asServiceError, type Call } from "./call.ts";
import type { ServerStreamOperation } from "./operation.ts";
import type { StreamPlace } from "./stream-place.ts";

type AnyMessage = MessageShape<DescMessage>;

/** One call with one request and any number of answers, behind the pipeline. */
export interface ServerStream {
  /** The answers, each requested once its caller has taken the one before. Throws ServiceError. Called once. */
  answers(request: AnyMessage): AsyncIterable<AnyMessage>;
  /**
   * Records the end of the stream and gives its place back, unless that is done.
   *
   * @param error why it ended, unless it had no more answers
   */
  end(error?: ServiceError): void;
  /** Gives its place back: its request could not be read, and the protocol records that. */
  leave(): void;
}

/**
 * Opens a stream for a call: the caller is authenticated and the stream has a place, which it has until `end` or
 * `leave` is called. Needs no message. Throws ServiceError, or rejects with one.
 */
export type ServerStreamEntry = (call: Call) => ServerStream | Promise<ServerStream>;

/** How often the credentials of a caller are checked, in milliseconds; with an answer at most once a second. */
const checkMs = 15_000;
const checkWithAnswerMs = 1_000;

interface AnswerStreamParts {
  readonly row: ServerStreamOperation;
  readonly call: Call;
  readonly caller: Caller;
  readonly place: StreamPlace;
  /** Called once the request is there. Throws ServiceError. */
  begin(): void;
  /** Authenticates the caller again. */
  authenticate(): Caller | Promise<Caller>;
  record(error: ServiceError | undefined): void;
  /** Ends the stream with an error. */
  readonly streamsMustEnd: AbortSignal;
}

/** The answers of an operation to one caller, until one of them, the operation or the server ends the stream. */
export class AnswerStream implements ServerStream {
  readonly #parts: AnswerStreamParts;
  readonly #over = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #checkedAt = performance.now();
  #error: ServiceError | undefined;
  /** Rejects what is being waited for. */
  #giveUp: ((error: ServiceError) => void) | undefined;
  #hasBegun = false;
  #hasLeft = false;

  constructor(parts: AnswerStreamParts) {
    this.#parts = parts;
    const { call, streamsMustEnd } = parts;
    this.#timer = setInterval(() => void this.#checkCaller(), checkMs).unref();
    call.onAbort = (reason) => this.#cut(new ServiceError(reason));
    if (call.abortedWith !== undefined) call.onAbort(call.abortedWith);
    streamsMustEnd.addEventListener("abort", this.#stop);
    if (streamsMustEnd.aborted) this.#stop();
  }

  async *answers(request: AnyMessage): AsyncGenerator<AnyMessage> {
    const { row, call, caller, begin } = this.#parts;
    let iterator: AsyncIterator<AnyMessage> | undefined;
    try {
      if (this.#error !== undefined) throw this.#error;
      begin();
      this.#hasBegun = true;
      const stream = { over: this.#over.signal, end: (error: ServiceError) => this.#cut(error) };
      iterator = row.answers(request, caller, stream)[Symbol.asyncIterator]();
      for (;;) {
        const next = await this.#unlessCut(iterator.next());
        if (next.done) return;
        if (performance.now() - this.#checkedAt >= checkWithAnswerMs) await this.#checkCaller();
        if (this.#error !== undefined) throw this.#error;
        yield next.value;
      }
    } catch (reason) {
      throw asServiceError(reason, call);
    } finally {
      this.#over.abort();
      void iterator?.return?.().catch(() => {});
    }
  }

  end(error?: ServiceError): void {
    if (this.#hasLeft) return;
    this.leave();
    this.#parts.record(error);
  }

  leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    const { place, streamsMustEnd } = this.#parts;
    clearInterval(this.#timer);
    streamsMustEnd.removeEventListener("abort", this.#stop);
    this.#over.abort();
    this.#giveUp?.(new ServiceError("downlease.call.canceled"));
    place.leave();
  }

  readonly #stop = (): void => this.#cut(new ServiceError("downlease.server.stopping"));

  #cut(error: ServiceError): void {
    if (this.#error !== undefined || this.#over.signal.aborted) return;
    this.#error = error;
    this.#giveUp?.(error);
    // Before its request is there the protocol knows better what has happened.
    if (this.#hasBegun) this.end(error);
  }

  /** The result, or a rejection as soon as the stream is cut; whatever the operation waits for. */
  #unlessCut<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#giveUp = reject;
      if (this.#error !== undefined) reject(this.#error);
      work.then(resolve, reject);
    });
  }

  /** A store that does not answer ends no stream: the next check decides. */
  async #checkCaller(): Promise<void> {
    this.#checkedAt = performance.now();
    try {
      await this.#parts.authenticate();
    } catch (reason) {
      const error = asServiceError(reason, this.#parts.call);
      if (error.kind !== "service_unavailable") this.#cut(error);
    }
  }
}
