import type { Caller, FinalState, Finish, NewSession, Refusal, Renewal, Session } from "./session.ts";

/** One keep-alive of several; the progress as in `keepAlive`. */
export interface Heartbeat {
  readonly id: string;
  readonly progress?: number | undefined;
}

/**
 * Download sessions. Each method is atomic for its session and durable when it resolves, for every process that uses
 * the same backend. The rules are those of `session.ts`; expired sessions, and sessions of others, are `not_found`.
 *
 * Refusals are return values. A store that can't be reached rejects with a ServiceError
 * `downlease.store.unavailable` within a second; the outcome of the call is then unknown.
 */
export interface SessionStore {
  /**
   * Creates the session. When one with this id exists, leaves it as it is, but renews its lease if it is ACTIVE. The
   * id is derived from the owner and a client token, or random. However many creations run side by side, an owner never
   * has more sessions than the terms allow; the place of one that is gone is free within seconds.
   *
   * @throws ServiceError `downlease.session.too_many` when the owner has no room for a new one
   */
  create(session: NewSession): Promise<Session>;

  /** The session, or undefined. Does not renew the lease. */
  get(id: string, caller: Caller): Promise<Session | undefined>;

  /**
   * Ids of the principal's own sessions in any state, oldest first: all that exist from the call to its end. Does not
   * renew a lease.
   */
  list(owner: string, libraryItemId?: string): Promise<string[]>;

  /**
   * Renews the lease of an ACTIVE session and raises its progress, in one atomic step. A progress outside 0..100 is
   * refused and changes nothing; that the session exists and is ACTIVE is checked first.
   */
  keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal>;

  /**
   * A keep-alive for each heartbeat, results in the same order. Each is atomic, all together are not; those for one
   * session apply in order. When the store fails the call rejects, and some heartbeats may have been applied: they are
   * harmless to repeat.
   */
  keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller): Promise<(Renewal | Refusal)[]>;

  /** Takes an ACTIVE session to a final state. The error message is stored as it is: bound it before. */
  finish(id: string, caller: Caller, state: FinalState, errorMessage?: string): Promise<Finish | Refusal>;

  /** Removes a session in any state. False when there is none for the caller. */
  delete(id: string, caller: Caller): Promise<boolean>;
}
