import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodUnary,
  MessageShape,
} from "@bufbuild/protobuf";
import { ServiceError } from "../domain/errors.ts";
import type { Caller } from "../domain/session.ts";
import type { Admission } from "./admission.ts";
import type { Call, CallObserver } from "./call.ts";
import type { Encoder } from "./encoder.ts";

/** One row of the table of operations. */
export interface Operation<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodUnary<I, O>;
  /** Whether this is what callers do all day, so that a line in the log for each success would be noise. */
  readonly isRoutine?: boolean;
  /** Whether callers prove who they are by what is good for logging in, a password among it. */
  readonly isLogin?: boolean;
  /** Whether the login session of the call is closed by it. */
  readonly isLogout?: boolean;
  /** Encodes the answer in place of `toBinary`, where a protocol can make use of it. */
  readonly encode?: Encoder<O>;
  /** What a request weighs among the calls under way; 1 when left out. */
  weight?(request: MessageShape<I>): number;
  /** The session that a request is about, for the log. */
  sessionId?(request: MessageShape<I>): string;
  /** Checks the arguments, does the work, throws ServiceError. */
  run(request: MessageShape<I>, caller: Caller, call: Call): Promise<MessageShape<O>>;
}

/** An operation on a stream of requests: one answer for each request, in the order of the requests. */
export interface StreamOperation<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodBiDiStreaming<I, O>;
  /**
   * Answers the requests that have arrived together. What is wrong with one of them is told in its answer; throws
   * ServiceError for what ends the stream.
   */
  answer(requests: readonly MessageShape<I>[], caller: Caller): Promise<readonly MessageShape<O>[]>;
}

export interface Operations {
  readonly unary: readonly Operation[];
  readonly streams: readonly StreamOperation[];
}

/** Names of the services that have operations, for example `cis.v1.SessionService`. */
export function serviceNamesOf({ unary, streams }: Operations): string[] {
  return [...new Set([...unary, ...streams].map(({ method }) => method.parent.typeName))];
}

/** States the types of a row; the table itself forgets them. */
export function operation<I extends DescMessage, O extends DescMessage>(row: Operation<I, O>): Operation {
  return row as unknown as Operation;
}

/** As `operation`, for a stream. */
export function streamOperation<I extends DescMessage, O extends DescMessage>(
  row: StreamOperation<I, O>,
): StreamOperation {
  return row as unknown as StreamOperation;
}

/** Says who is calling, or throws ServiceError `unauthenticated`. */
export type Authenticate = (call: Call) => Caller | Promise<Caller>;

/** A request, or how to read it: that is done only when it is clear who is calling. Throws ServiceError. */
export type Given = MessageShape<DescMessage> | (() => MessageShape<DescMessage>);

/** An operation behind the whole pipeline: never rejects with anything but a ServiceError. */
export type Entry = (request: Given, call: Call) => Promise<MessageShape<DescMessage>>;

/** A stream operation behind the pipeline, for one call. */
export interface Conversation {
  /** Rejects with ServiceError when the stream is over. One group of requests at a time. */
  answer(requests: readonly MessageShape<DescMessage>[]): Promise<readonly MessageShape<DescMessage>[]>;
  /** Tells that the stream is over, and why if it did not end by the caller's will. */
  end(error?: ServiceError): void;
}

/** Begins a conversation. */
export type StreamEntry = (call: Call) => Conversation;

/** How long a call that is refused for overload waits for its answer. */
const refusalPauseMs = 100;

export interface CallPipelineOptions {
  readonly operations: Operations;
  readonly authenticate: Authenticate;
  /** For operations that are logins; as the others when left out. */
  readonly login?: Authenticate;
  readonly admission: Admission;
  readonly observe: CallObserver;
}

/**
 * What lies between every protocol and every operation: admit → authenticate → read → run → map errors → measure. A protocol looks
 * up the entries of its methods once, at start-up.
 */
export class CallPipeline {
  readonly operations: Operations;
  readonly #authenticate: Authenticate;
  readonly #login: Authenticate;
  readonly #admission: Admission;
  readonly #observe: CallObserver;
  /** Made once: an error costs more than the refusal itself, which must be cheap to be of use. */
  readonly #overloaded = ServiceError.overloaded();

  constructor({ operations, authenticate, login = authenticate, admission, observe }: CallPipelineOptions) {
    this.operations = operations;
    this.#authenticate = authenticate;
    this.#login = login;
    this.#admission = admission;
    this.#observe = observe;
  }

  /** One promise and two functions a call, and no more: this is the way of every heartbeat. */
  entry(row: Operation): Entry {
    const operation = operationNameOf(row.method);
    const { isRoutine } = row;
    const authenticate = row.isLogin ? this.#login : this.#authenticate;
    return (given, call) =>
      new Promise((resolve, reject) => {
        const startedAt = performance.now();
        const { connection } = call;
        let request = typeof given === "function" ? undefined : given;
        const weight = request === undefined ? 1 : (row.weight?.(request) ?? 1);
        const isAdmitted = this.#admission.enter(connection, weight);
        let isOver = false;
        const end = (error: ServiceError | undefined): void => {
          isOver = true;
          if (isAdmitted) this.#admission.leave(connection, weight);
          const outcome = error?.kind ?? "ok";
          const durationMs = performance.now() - startedAt;
          const sessionId = request && row.sessionId?.(request);
          this.#observe({ call, operation, outcome, durationMs, isRoutine, sessionId, error });
        };
        const fail = (reason: unknown): void => {
          if (isOver) return;
          const error = asServiceError(reason, call);
          end(error);
          reject(error);
        };
        const succeed = (response: MessageShape<DescMessage>): void => {
          if (isOver) return;
          end(undefined);
          resolve(response);
        };
        if (!isAdmitted) return this.#turnAway(call, end, reject);
        if (call.abortedWith !== undefined) return fail(new ServiceError(call.abortedWith));
        // The work itself goes on when a call has to end before its answer, and its answer is dropped.
        call.onAbort = (reason) => fail(new ServiceError(reason));
        try {
          const runAs = (caller: Caller) => {
            request ??= (given as () => MessageShape<DescMessage>)();
            return row.run(request, caller, call);
          };
          const caller = authenticate(call);
          const response = caller instanceof Promise ? caller.then(runAs) : runAs(caller);
          response.then(succeed, fail);
        } catch (reason) {
          fail(reason);
        }
      });
  }

  /**
   * Counts the refusal now and tells it a little later. Callers who try again at once would else take more of the
   * server with their refusals than the calls under way have.
   */
  #turnAway(call: Call, end: (error: ServiceError) => void, reject: (error: ServiceError) => void): void {
    const error = this.#overloaded;
    end(error);
    const timer = setTimeout(reject, refusalPauseMs, error);
    call.onAbort = (reason) => {
      clearTimeout(timer);
      reject(new ServiceError(reason));
    };
  }

  /**
   * Streams need no admission: they are read no faster than they are answered, and what they may have under way is
   * bounded by the windows of HTTP/2.
   */
  streamEntry(row: StreamOperation): StreamEntry {
    const operation = operationNameOf(row.method);
    return (call) => {
      const startedAt = performance.now();
      return {
        answer: async (requests) => {
          try {
            if (call.abortedWith !== undefined) throw new ServiceError(call.abortedWith);
            // Each time anew: a stream may outlive what its caller has shown.
            const caller = await this.#authenticate(call);
            return await unlessAborted(row.answer(requests, caller), call);
          } catch (reason) {
            throw asServiceError(reason, call);
          }
        },
        end: (error) => {
          const durationMs = performance.now() - startedAt;
          this.#observe({ call, operation, outcome: error?.kind ?? "ok", durationMs, error });
        },
      };
    };
  }
}

/** For example `DownloadSession.KeepAlive`. */
export function operationNameOf(method: DescMethod): string {
  return `${method.parent.name.replace(/Service$/, "")}.${method.name}`;
}

/** What a caller is told of a failure: ours as it is, anything else as an internal error without its text. */
export function asServiceError(reason: unknown, call: Pick<Call, "requestId">): ServiceError {
  if (reason instanceof ServiceError) return reason;
  return new ServiceError("downlease.server.internal", [call.requestId], reason);
}

/** The answer, or the abort if that comes first; the work itself goes on and its answer is dropped. */
function unlessAborted<T>(work: Promise<T>, call: Call): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    call.onAbort = (reason) => reject(new ServiceError(reason));
    work.then(resolve, reject);
  });
}
