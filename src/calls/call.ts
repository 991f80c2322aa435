import type { IncomingHttpHeaders } from "node:http";
import type { ErrorKind, ErrorMessageId, ServiceError } from "../domain/errors.ts";
import type { Connection } from "./connection.ts";
import { type Credentials, HeaderCredentials } from "./credentials.ts";

/** Which protocol a call came in by. */
export type Protocol = "grpc" | "grpc_web" | "connect" | "rest" | "json_rpc";

/**
 * What the pipeline may want to know of a call. Protocols make members that cost something lazy getters.
 *
 * A call may have to end before its answer: its caller is gone, its deadline has passed, or the server can't wait
 * any longer. The protocol tells by setting `abortedWith` and calling `onAbort`, see `abort`.
 */
export interface Call {
  readonly protocol: Protocol;
  /** Given by the caller (`X-Request-ID`) or made up; repeated in the answer and in the log. */
  readonly requestId: string;
  /** The caller's, whose calls share what one connection may take. */
  readonly connection: Connection;
  readonly credentials: Credentials;
  /** Of the request, as Node.js gives them; those of HTTP/2 that begin with a colon among them. */
  readonly headers: IncomingHttpHeaders;
  /** Why the call has to end before its answer. */
  abortedWith?: ErrorMessageId | undefined;
  /** Told when the call has to end before its answer. Set by the pipeline while it works on the call. */
  onAbort?: ((reason: ErrorMessageId) => void) | undefined;
}

/** Ends a call before its answer; the first reason counts. */
export function abort(call: Call, reason: ErrorMessageId): void {
  if (call.abortedWith !== undefined) return;
  call.abortedWith = reason;
  call.onAbort?.(reason);
}

/** What the calls of most protocols have in common. */
export abstract class ProtocolCall implements Call {
  abstract readonly protocol: Protocol;
  abstract readonly connection: Connection;
  abortedWith: ErrorMessageId | undefined = undefined;
  onAbort: ((reason: ErrorMessageId) => void) | undefined = undefined;
  readonly headers: IncomingHttpHeaders;
  readonly #givenId: string | string[] | undefined;
  #requestId: string | undefined = undefined;

  /** @param givenId the request id that the caller gave */
  constructor(
    headers: IncomingHttpHeaders,
    givenId: string | string[] | undefined = headers["x-request-id"],
  ) {
    this.headers = headers;
    this.#givenId = givenId;
  }

  get credentials(): Credentials {
    return new HeaderCredentials(this.headers);
  }

  get requestId(): string {
    this.#requestId ??= requestIdFrom(this.#givenId);
    return this.#requestId;
  }

  /**
   * Whether a good answer has to tell the request id: when the caller gave it, or the log has it. A routine call that
   * goes well is not in the log, and the id that would be made up for it would cost more than it is worth.
   */
  tellsRequestId(isRoutine: boolean): boolean {
    return !isRoutine || this.#givenId !== undefined || this.#requestId !== undefined;
  }
}

export type CallOrigin = Pick<Call, "protocol" | "requestId" | "connection">;

/** A finished call, for metrics and the log. */
export interface CallRecord {
  readonly call: CallOrigin;
  /** vAPI style name, for example `DownloadSession.KeepAlive`, or `unknown`. */
  readonly operation: string;
  readonly outcome: "ok" | ErrorKind;
  readonly durationMs: number;
  /** Whether this is what goes on all day and is not worth a line in the log. */
  readonly isRoutine?: boolean | undefined;
  /** Session that the call was about. */
  readonly sessionId?: string | undefined;
  readonly error?: ServiceError | undefined;
}

/** Is told of every finished call. */
export type CallObserver = (record: CallRecord) => void;

const acceptableRequestId = /^[\x21-\x7e]{1,128}$/;

/** The caller's request id when it is printable and short, else a new one. */
export function requestIdFrom(given: string | string[] | null | undefined): string {
  return typeof given === "string" && acceptableRequestId.test(given) ? given : crypto.randomUUID();
}
