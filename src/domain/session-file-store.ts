import type { Caller, Refusal, Renewal, Session } from "./session.ts";

/** How a file is to be read: by link from this service, or from the storage itself. */
export type EndpointType = "HTTPS" | "DIRECT";

/** What a session knows of one of its item's files. */
export interface SessionFile {
  /** Undefined: nobody has asked for the file in this session. */
  readonly requested?: EndpointType;
  /** Bytes that the session's client has been sent, repeated ones included. */
  readonly bytesSent: number;
}

export interface SessionFiles {
  readonly session: Session;
  /** By file name; a file that is not here has never been asked for. */
  readonly files: ReadonlyMap<string, SessionFile>;
}

/**
 * What sessions know of their items' files: lives and ends with the session, in the same store. Each method is atomic
 * for its session. The rules are those of `session.ts`, refusals are return values, and a store that can't be reached
 * rejects with a ServiceError `downlease.store.unavailable` within a second.
 */
export interface SessionFileStore {
  /** The session and its files, or undefined. Does not renew the lease. */
  files(sessionId: string, caller: Caller): Promise<SessionFiles | undefined>;

  /**
   * Notes that a file of an ACTIVE session is asked for and renews the lease. The last endpoint type that was asked for
   * counts.
   */
  request(
    sessionId: string,
    caller: Caller,
    fileName: string,
    endpointType: EndpointType,
  ): Promise<Renewal | Refusal>;

  /**
   * Adds to the bytes that an ACTIVE session's client has been sent, by file name, and renews the lease, whoever owns
   * the session: the bytes were sent by a link, which carries its own right.
   */
  recordSent(sessionId: string, sent: ReadonlyMap<string, number>): Promise<Renewal | Refusal>;
}
