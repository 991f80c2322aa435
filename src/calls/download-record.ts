import type { ServiceError } from "../domain/errors.ts";

/** Why this service cut a download: its connection is reset, so that the client sees that the file is incomplete. */
export type CutReason =
  /** The session was canceled, failed, was deleted or has expired. */
  | "session_ended"
  /** The client accepted no bytes for too long, or the storage sent none. */
  | "stalled"
  | "content_changed"
  /** The file contradicts its manifest, as its preparation has found out meanwhile. */
  | "checksum_mismatch"
  | "read_failed"
  | "server_stopping";

/** How a request for a file ended: in order, aborted by the client, cut by this service, or refused. */
export type DownloadOutcome =
  | "complete"
  /** The client closed the connection before it had the whole file. */
  | "client_gone"
  | CutReason
  /** A proxy in front, or the storage, sends the file. */
  | "offloaded"
  /** No content was requested: HEAD, or a precondition or range that failed. */
  | "nothing_sent"
  /** The link is invalid, or not valid any more. */
  | "refused"
  /** The request could not be served; see the error. */
  | "failed";

/** A finished request for a file, for metrics and the log. */
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
  /** Id of the trace that the download belongs to, while traces are made. */
  readonly traceId?: string | undefined;
  /** Only of a link whose signature was verified. */
  readonly sessionId?: string | undefined;
  readonly fileName?: string | undefined;
  /** The error on our side. */
  readonly error?: ServiceError | undefined;
  readonly cause?: unknown;
}

/** Observes downloads, for metrics and the log. */
export interface DownloadObserver {
  /** A download was admitted. */
  began(sessionId: string, clientAddress: string): void;
  /** The connection has accepted bytes of a file. */
  moved(bytes: number): void;
  /** A download that had begun has ended. */
  ended(): void;
  /** A request for a file has been answered, admitted or not. */
  finished(record: DownloadRecord): void;
}
