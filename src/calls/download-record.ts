import type { ServiceError } from "../domain/errors.ts";

/** Why a transfer was broken off by us. */
export type CutReason =
  /** The session was canceled, failed, was deleted or has expired. */
  | "session_ended"
  /** The client took nothing for too long, or the storage gave nothing. */
  | "stalled"
  | "content_changed"
  | "read_failed"
  | "server_stopping";

/** How a request for a file ended. */
export type DownloadOutcome =
  | "complete"
  /** The client went away before it had all. */
  | "client_gone"
  | CutReason
  /** A proxy was told to send the file. */
  | "offloaded"
  /** Nothing was to be sent: HEAD, or a condition or range that does not hold. */
  | "nothing_sent"
  /** Not a good link, or not any more. */
  | "refused"
  /** Not served now; see the error. */
  | "failed";

/** A request for a file that is over, for metrics and the log. */
export interface DownloadRecord {
  readonly outcome: DownloadOutcome;
  /** Status of the answer; 0 when there was none. */
  readonly status: number;
  /** Bytes of the file that the connection took. */
  readonly bytesSent: number;
  readonly durationMs: number;
  /** Address of the client's end. */
  readonly peer: string;
  readonly requestId: string;
  /** Of a link that was signed by us. */
  readonly sessionId?: string | undefined;
  readonly fileName?: string | undefined;
  /** What went wrong on our side. */
  readonly error?: ServiceError | undefined;
  readonly cause?: unknown;
}

/** Is told of what goes on with transfers. */
export interface DownloadObserver {
  began(): void;
  /** Bytes were sent. */
  moved(bytes: number): void;
  ended(): void;
  /** A request for a file is over, whether it came to a transfer or not. */
  finished(record: DownloadRecord): void;
}
