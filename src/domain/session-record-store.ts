import type { Session } from "./session.ts";

/** A session as an operator sees it. */
export interface SessionRecord extends Session {
  /** Milliseconds since the epoch; unset for a session of an earlier release whose store did not keep it. */
  readonly createdAt?: number;
  /** Bytes of all its files that were sent, repeated ones included. */
  readonly bytesSent: number;
  /** Address of the client of its last call, if it was recorded. */
  readonly clientAddress?: string;
}

export interface SessionPageRequest {
  /** Where the page begins: the cursor of the one before it, with the same owner. Unset for the first page. */
  readonly cursor?: string | undefined;
  /** Only sessions of this principal: a walk over them costs what they are, not what all sessions are. */
  readonly owner?: string | undefined;
  /** Only sessions that it returns true for. */
  readonly matches?: ((session: SessionRecord) => boolean) | undefined;
  /** Maximum number of sessions of the page, at least 1. */
  readonly maxSessions: number;
}

export interface SessionRecordPage {
  readonly sessions: readonly SessionRecord[];
  /** Where the next page begins; unset on the last one. */
  readonly cursor?: string;
}

/**
 * The sessions of everybody, for operators. Renews no lease. A store that can't be reached rejects with a ServiceError
 * `downlease.store.unavailable` within a second.
 */
export interface SessionRecordStore {
  /**
   * A part of all sessions, in the order of the store. The pages of a walk together have each session that exists from
   * the first page to the last; one that is created or ends meanwhile may be missing, and one may come twice. The work
   * for a page is bounded in sessions and in time, so that a page may be short, or empty, although there are more. All
   * pages of a process are read in turns, some sessions at a time, so that keep-alives are served between them.
   *
   * @throws ServiceError `downlease.page.token` when the cursor is none of this store
   */
  page(request: SessionPageRequest): Promise<SessionRecordPage>;

  /** The sessions with these ids, in their order; undefined for those that do not exist. */
  find(ids: readonly string[]): Promise<(SessionRecord | undefined)[]>;

  /** Records the addresses of the clients of sessions, by session id; ids without a session are skipped. */
  recordClients(addresses: ReadonlyMap<string, string>): Promise<void>;
}

/** Bounds of a page. */
export const pageBounds = {
  /** How many sessions are read in one turn, at most. */
  stepLength: 64,
  /** How many turns a page takes, at most. */
  maxSteps: 64,
  /** After this time in milliseconds no further turn begins: callers are promised an answer within a second. */
  maxMs: 300,
} as const;
