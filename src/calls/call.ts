import type { IncomingHttpHeaders } from "node:http";
import { type ErrorKind, type ErrorMessageId, ServiceError } from "../domain/errors.ts";
import type { Caller } from "../domain/session.ts";
import type { Connection } from "./connection.ts";
import { type Credentials, HeaderCredentials } from "./credentials.ts";

/** The protocol of a call. */
export type Protocol = "grpc" | "grpc_web" | "connect" | "rest" | "json_rpc" | "soap";

/**
 * A call as the pipeline sees it. Protocols implement expensive members as lazy getters.
 *
 * A protocol aborts a call that has to end before its response, with `abort`: when the caller is gone, the deadline has
 * passed, or the server shuts down.
 */
export interface Call {
  readonly protocol: Protocol;
  /** The caller's (`X-Request-ID`) or a generated one; repeated in the response and in the log. */
  readonly requestId: string;
  /** The caller's connection; admission counts by connection. */
  readonly connection: Connection;
  readonly credentials: Credentials;
  /** Request headers as Node.js provides them, pseudo-headers of HTTP/2 included. */
  readonly headers: IncomingHttpHeaders;
  /** Of a call over REST. */
  readonly rest?: RestEndpoint | undefined;
  /** Why the call was aborted. */
  abortedWith?: ErrorMessageId | undefined;
  /** Called when the call is aborted. Set by the pipeline while the call runs. */
  onAbort?: ((reason: ErrorMessageId) => void) | undefined;
  /** Who the caller is, as far as it is known when authentication refuses the call. For the audit log. */
  refusedCaller?: Caller;
}

/** Where a call over REST was sent to. */
export interface RestEndpoint {
  readonly method: string;
  /** Path with the names of its variables, for example `/api/content/library/{library_id}`. */
  readonly template: string;
  /** The HTTP status of an outcome. */
  status(outcome: "ok" | ErrorKind): number;
}

/** Aborts a call; only the first reason counts. */
export function abort(call: Call, reason: ErrorMessageId): void {
  if (call.abortedWith !== undefined) return;
  call.abortedWith = reason;
  call.onAbort?.(reason);
}

/** Common base of calls that arrive as one HTTP request. */
export abstract class HttpCall implements Call {
  abstract readonly protocol: Protocol;
  abstract readonly connection: Connection;
  abortedWith: ErrorMessageId | undefined = undefined;
  onAbort: ((reason: ErrorMessageId) => void) | undefined = undefined;
  readonly headers: IncomingHttpHeaders;
  readonly #sentId: string | string[] | undefined;
  #requestId: string | undefined = undefined;

  /** @param sentId the request id that the caller sent */
  constructor(headers: IncomingHttpHeaders, sentId: string | string[] | undefined = headers["x-request-id"]) {
    this.headers = headers;
    this.#sentId = sentId;
  }

  get credentials(): Credentials {
    return new HeaderCredentials(this.headers);
  }

  get rest(): RestEndpoint | undefined {
    return undefined;
  }

  get requestId(): string {
    this.#requestId ??= requestIdFrom(this.#sentId);
    return this.#requestId;
  }

  /**
   * Whether a successful response carries the request id: when the caller sent one, or when the log has it. A routine
   * call that succeeds is not logged, and generating an id for it would cost more than it is worth.
   */
  returnsRequestId(isRoutine: boolean): boolean {
    return !isRoutine || this.#sentId !== undefined || this.#requestId !== undefined;
  }
}

export type CallOrigin = Pick<Call, "protocol" | "requestId" | "connection" | "headers" | "rest">;

/** A call that has ended, for metrics and the log. */
export interface CallRecord {
  readonly call: CallOrigin;
  /** Name of the operation, for example `DownloadSession.KeepAlive`, or `unknown`. */
  readonly operation: string;
  /** What the caller asked for, when it led to no operation: method and path, or service and operation. */
  readonly target?: string | undefined;
  readonly outcome: "ok" | ErrorKind;
  readonly durationMs: number;
  /** High volume: successes are logged at debug. */
  readonly isRoutine?: boolean | undefined;
  /** Id of the download session that the call was about. */
  readonly sessionId?: string | undefined;
  /** Id of the library item that the call was about. */
  readonly itemId?: string | undefined;
  readonly error?: ServiceError | undefined;
  /** Id of the trace that the call belongs to, while traces are made. */
  readonly traceId?: string | undefined;
}

/** Called with every call that has ended. */
export type CallObserver = (record: CallRecord) => void;

const acceptableRequestId = /^[\x21-\x7e]{1,128}$/;

/** The caller's request id when it is printable and short, else a generated one. */
export function requestIdFrom(sent: string | string[] | null | undefined): string {
  return typeof sent === "string" && acceptableRequestId.test(sent) ? sent : crypto.randomUUID();
}

/** The error for the caller: a ServiceError as it is, anything else as an internal error without its text. */
export function asServiceError(reason: unknown, call: Pick<Call, "requestId">): ServiceError {
  if (reason instanceof ServiceError) return reason;
  return new ServiceError("downlease.server.internal", [call.requestId], reason);
}

/** The result, or a rejection when the call is aborted first; the work then goes on and its result is dropped. */
export function unlessAborted<T>(work: Promise<T>, call: Call): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    call.onAbort = (reason) => reject(new ServiceError(reason));
    work.then(resolve, reject);
  });
}
