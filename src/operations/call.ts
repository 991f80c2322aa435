import type { ErrorKind, ErrorMessageId, ServiceError } from "../domain/errors.ts";

/** Which protocol a call came in by. */
export type Door = "grpc" | "grpc-web" | "connect" | "rest";

/** What the corridor may want to know of a call. Doors make members that cost something lazy getters. */
export interface Call {
  readonly door: Door;
  /** Given by the caller (`X-Request-ID`) or made up; repeated in the answer and in the log. */
  readonly requestId: string;
  /** Address of the caller's end of the connection. */
  readonly peer: string;
  /** Aborted when the caller is gone, the deadline has passed, or the server can't wait any longer. */
  readonly signal?: AbortSignal | undefined;
  /** Why `signal` was aborted. */
  abortedWith?(): ErrorMessageId;
}

/** A finished call, for metrics and the log. */
export interface CallRecord {
  readonly call: Pick<Call, "door" | "requestId" | "peer">;
  /** vAPI style name, for example `DownloadSession.KeepAlive`, or `unknown`. */
  readonly operation: string;
  readonly outcome: "ok" | ErrorKind;
  readonly durationMs: number;
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
