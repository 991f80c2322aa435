import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { ServiceError } from "../domain/errors.ts";
import type { Caller } from "../domain/session.ts";
import type { Call, CallObserver } from "./call.ts";

/** One row of the table of operations. */
export interface Operation<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodUnary<I, O>;
  /** The session that a request is about, for the log. */
  sessionId?(request: MessageShape<I>): string;
  /** Checks the arguments, does the work, throws ServiceError. */
  run(request: MessageShape<I>, caller: Caller): Promise<MessageShape<O>>;
}

/** States the types of a row; the table itself forgets them. */
export function operation<I extends DescMessage, O extends DescMessage>(row: Operation<I, O>): Operation {
  return row as unknown as Operation;
}

/** Says who is calling, or throws ServiceError `unauthenticated`. */
export type Authenticate = (call: Call) => Caller | Promise<Caller>;

/** An operation behind the whole pipeline: never rejects with anything but a ServiceError. */
export type Entry = (request: MessageShape<DescMessage>, call: Call) => Promise<MessageShape<DescMessage>>;

/**
 * What lies between every door and every operation: authenticate → run → map errors → measure. A door looks up
 * the entries of its methods once, at start-up.
 */
export class Corridor {
  readonly operations: readonly Operation[];
  readonly #authenticate: Authenticate;
  readonly #observe: CallObserver;

  constructor(operations: readonly Operation[], authenticate: Authenticate, observe: CallObserver) {
    this.operations = operations;
    this.#authenticate = authenticate;
    this.#observe = observe;
  }

  entry(row: Operation): Entry {
    const operationName = operationNameOf(row.method);
    return async (request, call) => {
      const startedAt = performance.now();
      let error: ServiceError | undefined;
      try {
        if (call.signal?.aborted) throw abortError(call);
        const caller = this.#authenticate(call);
        const response = row.run(request, caller instanceof Promise ? await caller : caller);
        return await (call.signal === undefined ? response : unlessAborted(response, call, call.signal));
      } catch (reason) {
        error = asServiceError(reason, call);
        throw error;
      } finally {
        this.#observe({
          call,
          operation: operationName,
          outcome: error?.kind ?? "ok",
          durationMs: performance.now() - startedAt,
          sessionId: row.sessionId?.(request),
          error,
        });
      }
    };
  }
}

/** For example `DownloadSession.KeepAlive`. */
export function operationNameOf(method: DescMethodUnary): string {
  return `${method.parent.name.replace(/Service$/, "")}.${method.name}`;
}

/** What a caller is told of a failure: ours as it is, anything else as an internal error without its text. */
export function asServiceError(reason: unknown, call: Pick<Call, "requestId">): ServiceError {
  if (reason instanceof ServiceError) return reason;
  return new ServiceError("downlease.server.internal", [call.requestId], reason);
}

function abortError(call: Call): ServiceError {
  return new ServiceError(call.abortedWith?.() ?? "downlease.call.canceled");
}

/** The store's answer, or the abort if that comes first; the work itself goes on and its answer is dropped. */
function unlessAborted<T>(work: Promise<T>, call: Call, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(abortError(call));
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
