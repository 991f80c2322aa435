import type { ServiceError } from "../domain/errors.ts";

/** Why the server cut a download. */
export type CutReason =
  /** The session was canceled, failed, was deleted or has expired. */
  | "session_ended"
  /** The client accepted no bytes for too long, or the storage returned none. */
  | "stalled"
  | "content_changed"
  | "read_failed"
  | "server_stopping";

/** How a request for a file ended: in order, aborted by the client, cut by this service, or refused. */
export type DownloadOutcome =
  | "complete"
  /** The client disconnected before it had received everything. */
  | "client_gone"
  | CutReason
  /** A proxy sends the file. */
  | "offloaded"
  /** There was nothing to send: HEAD, or a condition or range that does not hold. */
  | "nothing_sent"
  /** The link is invalid, or no longer valid. */
  | "refused"
  /** The server could not serve the file; see the error. */
  | "failed";

/** A request for a file that has ended, for metrics and the log. */
export interface DownloadRecord {
  readonly outcome: DownloadOutcome;
  /** HTTP status of the response; 0 when there was none. */
  readonly status: number;
  /** Bytes of the file that the connection accepted. */
  readonly bytesSent: number;
  readonly durationMs: number;
  /** Address of the client. */
  readonly peer: string;
  readonly requestId: string;
  /** Set when the signature of the link is valid. */
  readonly sessionId?: string | undefined;
  readonly fileName?: string | undefined;
  /** What went wrong on the server. */
  readonly error?: ServiceError | undefined;
  readonly cause?: unknown;
}

/** Observes downloads, for metrics and the log. */
export interface DownloadObserver {
  /** A download was admitted. */
  began(): void;
  /** More bytes were sent. */
  moved(bytes: number): void;
  /** A download that had begun has ended. */
  ended(): void;
  /** A request for a file has ended, whether bytes were sent or not. */
  finished(record: DownloadRecord): void;
}
