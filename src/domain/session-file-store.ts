import type { Caller, Refusal, Renewal, Session } from "./session.ts";

/** How a file is to be read: by link from this service, or from the storage itself. */
export type EndpointType = "HTTPS" | "DIRECT";

/** What a session keeps about one of its item's files. */
export interface SessionFile {
  /** Undefined: the file has not been requested in this session. */
  readonly requested?: EndpointType;
  /** Milliseconds since it was first requested, by the clock of the store; set with `requested`. */
  readonly requestedForMs?: number;
  /** Bytes that were sent to the session's client, repeated ones included. */
  readonly bytesSent: number;
}

export interface SessionFiles {
  readonly session: Session;
  /** By file name; a file that is missing here has neither been requested nor sent. */
  readonly files: ReadonlyMap<string, SessionFile>;
}

/**
 * What sessions keep about their items' files. It lives and ends with the session, in the same backend. Each method is
 * atomic for its session. The rules are those of `session.ts`, refusals are return values, and a store that can't be
 * reached rejects with a ServiceError `downlease.store.unavailable` within a second.
 */
export interface SessionFileStore {
  /** The session and its files, or undefined. Does not renew the lease. */
  files(sessionId: string, caller: Caller): Promise<SessionFiles | undefined>;

  /**
   * Records that a file of an ACTIVE session is requested, and renews the lease. The endpoint type that was requested
   * last counts.
   */
  request(
    sessionId: string,
    caller: Caller,
    fileName: string,
    endpointType: EndpointType,
  ): Promise<Renewal | Refusal>;

  /**
   * Adds to the bytes that were sent to an ACTIVE session's client, by file name, and renews the lease. It takes no
   * caller: the bytes were sent by a link, which carries its own right.
   */
  recordSent(sessionId: string, sent: ReadonlyMap<string, number>): Promise<Renewal | Refusal>;
}
