import { Code, ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { ErrorMessageId } from "../domain/errors.ts";
import type { Call, Door } from "../operations/call.ts";

/** Where a call comes from: what Connect's own context does not tell. */
export interface Origin {
  readonly requestId: string;
  readonly peer: string;
  /** Whether the request could be read and became a call. */
  isCall: boolean;
}

export const originKey = createContextKey<Origin>({ requestId: "", peer: "", isCall: false });

/** A call as the corridor sees it, read from Connect's context when it is asked for. */
export class RpcCall implements Call {
  readonly #context: HandlerContext;
  readonly #origin: Origin;
  readonly #shutdownSignal: AbortSignal;

  /** @param shutdownSignal the one that Connect links to the signals of its calls */
  constructor(context: HandlerContext, shutdownSignal: AbortSignal) {
    this.#context = context;
    this.#origin = context.values.get(originKey);
    this.#origin.isCall = true;
    this.#shutdownSignal = shutdownSignal;
  }

  get door(): Door {
    return this.#context.protocolName as "grpc" | "grpc-web" | "connect";
  }

  get requestId(): string {
    return this.#origin.requestId;
  }

  get peer(): string {
    return this.#origin.peer;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  abortedWith(): ErrorMessageId {
    const { reason } = this.signal;
    if (this.#shutdownSignal.aborted && reason === this.#shutdownSignal.reason) {
      return "downlease.server.stopping";
    }
    const isDeadline = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
    return isDeadline ? "downlease.call.timed_out" : "downlease.call.canceled";
  }
}
