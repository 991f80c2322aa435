import type { Roles } from "./roles.ts";

/** A login session: what its identifier stands for. It has nothing to do with download sessions, which outlive it. */
export interface Login {
  /** Name of the principal that opened it. */
  readonly principal: string;
  /** The roles that the principal held when it logged in. */
  readonly roles: Roles;
  /** What the login rests on and must still hold: a text of the authenticator's own, opaque to the store. */
  readonly proof: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch, to within a second or so. */
  readonly lastUsedAt: number;
}

/** What the opener of a login session decides. */
export type NewLogin = Pick<Login, "principal" | "roles" | "proof">;

/** Lengths of a login session's life, in milliseconds. */
export interface LoginTerms {
  /** How long it lives without being used. */
  readonly idleMs: number;
  /** How long it lives at most. */
  readonly lifetimeMs: number;
}

/** What is known of the failures under a key. */
export interface Failures {
  /** How many there were since the first that is not forgotten. */
  readonly count: number;
  /** Milliseconds until they are forgotten. */
  readonly forgottenInMs: number;
}

/**
 * Where login sessions live, for every process that uses the same store, and failures to log in are counted. A store
 * that can't be reached rejects, or throws where no promise is given, a ServiceError `downlease.store.unavailable`
 * within a second. The rules are those of `login.ts`; what keeps the connection to the store also ends it.
 */
export interface LoginStore {
  /** Opens a login session and gives its identifier. */
  open(login: NewLogin): Promise<string>;

  /**
   * The login session, unless it is unknown, closed, idle for too long or too old; the look-up is a use. Takes any
   * text for an identifier. Answers at once, without a promise, when it can: this is on the way of every call.
   */
  find(id: string): Login | undefined | Promise<Login | undefined>;

  /**
   * Closes a login session. False: there was none. A process that can't be told accepts it for `trustMs` at most.
   */
  close(id: string): Promise<boolean>;

  /** Counts one more failure under the key, any text. The count starts anew when the window since the first is over. */
  addFailure(key: string, windowMs: number): Promise<Failures>;

  /** Takes one failure back that was counted before it was known to be none. */
  removeFailure(key: string): Promise<void>;
}
