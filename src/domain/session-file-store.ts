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

/** Where the ends of sessions are told. */
export interface SessionEnds {
  /**
   * Whether every end is told within moments, whichever process brought it about. While it is not, whoever depends on
   * it looks at the sessions themselves.
   */
  readonly isReliable: boolean;
  /** Stops telling. */
  stop(): void;
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

  /**
   * Tells of every session that is canceled, fails or is deleted from now on, by any process; of expiry it does not
   * tell. May tell of a session more than once.
   *
   * @param established told whenever `isReliable` has become true: ends of before may not have been told, so that
   *   whoever depends on them looks at the sessions once more
   */
  watchEnds(ended: (sessionId: string) => void, established?: () => void): SessionEnds;
}
