import type { DatabaseSync, StatementSync } from "node:sqlite";

/** A null principal sees all sessions. */
const existsForPrincipal = "id = :id AND expires_at > :now AND (:principal IS NULL OR owner = :principal)";

/** The statements that only the session store needs, compiled once. Times are in milliseconds. */
export function prepareStatements(db: DatabaseSync) {
  return {
    /** The next :length rows of :owner after :start, and the end of that stretch; oldest first. */
    list: db.prepare(`
      SELECT sequence, id, expires_at > :now AND (:libraryItemId IS NULL OR library_item_id = :libraryItemId) AS matches
      FROM session WHERE owner = :owner AND sequence > :start ORDER BY sequence LIMIT :length`),

    /** How many rows an :owner has, expired ones included, and until when none expires; no row for none. */
    count: db.prepare("SELECT sessions, sure_until AS sureUntil FROM session_count WHERE owner = :owner"),

    /** The members of a new session, :endsWithUser as 1 or 0. It is the last in order. */
    insert: db.prepare(`
      INSERT INTO session
        (id, owner, library_item_id, content_version, state, progress, expires_at, created_at, ends_with_user)
      VALUES (:id, :owner, :libraryItemId, :contentVersion, :state, :progress, :expiresAt, :createdAt, :endsWithUser)`),

    /** :id, :principal, :now, :progress (0 for none) and :leaseMs; returns no row when the keep-alive is refused. */
    keepAlive: db.prepare(`
      UPDATE session
      SET progress = max(progress, :progress), expires_at = max(expires_at, :now + :leaseMs)
      WHERE ${existsForPrincipal} AND state = 'ACTIVE'
      RETURNING expires_at AS expiresAt, progress`),

    /** :id, :principal and :now; returns the state, or no row when there is none. */
    delete: db.prepare(`DELETE FROM session WHERE ${existsForPrincipal} RETURNING state`),

    /** :id, of an expired session. */
    remove: db.prepare("DELETE FROM session WHERE id = :id"),

    /** The end of a stretch of at most :length rows after :start, and the number of its rows. */
    stretch: db.prepare(`
      SELECT coalesce(max(sequence), :start) AS end, count(*) AS rows
      FROM (SELECT sequence FROM session WHERE sequence > :start ORDER BY sequence LIMIT :length)`),

    /** :start (excluded), :end (included) and :now. */
    purge: db.prepare(
      "DELETE FROM session WHERE sequence > :start AND sequence <= :end AND expires_at <= :now",
    ),

    /** :owner and :now. */
    purgeOf: db.prepare("DELETE FROM session WHERE owner = :owner AND expires_at <= :now"),

    /** Notes until when none of an :owner's rows expires, or :least if that is later. */
    beSure: db.prepare(`
      UPDATE session_count
      SET sure_until = max(:least, (SELECT min(expires_at) FROM session WHERE session.owner = session_count.owner))
      WHERE owner = :owner`),
  } satisfies Record<string, StatementSync>;
}

export type Statements = ReturnType<typeof prepareStatements>;
