import type { Roles } from "./roles.ts";

/** A login session. It is independent of download sessions, which outlive it. */
export interface Login {
  /** Name of the principal that logged in. */
  readonly principal: string;
  /** The roles that the principal held when it logged in. */
  readonly roles: Roles;
  /** What must still hold for the login to be valid: a text of the authenticator, opaque to the store. */
  readonly proof: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch, accurate to about a second. */
  readonly lastUsedAt: number;
}

/** A login session that is to be opened. */
export type NewLogin = Pick<Login, "principal" | "roles" | "proof">;

/** A login session as an operator sees it. */
export interface LoginRecord extends Login {
  /** The digest of its identifier. It names the login session, and gives no right. */
  readonly digest: string;
  /** When it ends unless it is used, in milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface LoginPageRequest {
  /** Where the page begins: the cursor of the one before it. Unset for the first page. */
  readonly cursor?: string | undefined;
  /** Only login sessions of this principal. */
  readonly principal?: string | undefined;
  /** Maximum number of login sessions of the page, at least 1. */
  readonly maxLogins: number;
}

export interface LoginRecordPage {
  readonly logins: readonly LoginRecord[];
  /** Where the next page begins; unset on the last one. */
  readonly cursor?: string;
}

/** How long login sessions live, in milliseconds. */
export interface LoginTerms {
  /** How long one lives without being used. */
  readonly idleMs: number;
  /** How long one lives at most. */
  readonly lifetimeMs: number;
}

/** The failures that are counted under a key. */
export interface Failures {
  /** Number of failures in the current window. */
  readonly count: number;
  /** Milliseconds until the window ends and the count is reset. */
  readonly forgottenInMs: number;
}

/**
 * Stores login sessions and counts failed logins, for every process that uses the same store. The rules are those of
 * `login.ts`. When the store can't be reached, methods reject, or throw where they return no promise, with a
 * ServiceError `downlease.store.unavailable` within a second.
 */
export interface LoginStore {
  /** Opens a login session and returns its identifier. */
  open(login: NewLogin): Promise<string>;

  /**
   * The login session, or undefined when it is unknown, closed, or has expired; the look-up counts as a use. Accepts
   * any text as identifier. Returns no promise when it has the answer: every call passes here.
   */
  find(id: string): Login | undefined | Promise<Login | undefined>;

  /**
   * Closes a login session. False when there was none. A process that can't be notified accepts it for `trustMs` at
   * most.
   */
  close(id: string): Promise<boolean>;

  /**
   * A part of all login sessions, in the order of the store; what a walk may miss or repeat, and what its work is bounded
   * by, is that of `SessionRecordStore.page`. Is no use of them.
   *
   * @throws ServiceError `downlease.page.token` when the cursor is none of this store
   */
  page(request: LoginPageRequest): Promise<LoginRecordPage>;

  /** Closes login sessions by their digests, at most 1,000. Resolves with how many there were. */
  end(digests: readonly string[]): Promise<number>;

  /**
   * Counts a failure, or another event that has a limit, under the key, any text. The first one opens a window; the count
   * is reset when it ends.
   */
  addFailure(key: string, windowMs: number): Promise<Failures>;

  /** Takes back one counted failure, after the login has succeeded. */
  removeFailure(key: string): Promise<void>;
}
