import type { SessionState } from "../domain/session.ts";
import type { SessionRecord } from "../domain/session-record-store.ts";

/** What has happened to a session. */
export type SessionEventKind = "snapshot" | "created" | "progressed" | "ended" | "expired" | "deleted";

export interface SessionEvent {
  readonly kind: SessionEventKind;
  /** As it is now; of one that is gone, as it was last seen. */
  readonly record: SessionRecord;
  /** Its state before; unset when it was not known. */
  readonly stateBefore?: SessionState | undefined;
}

/** Which sessions are watched; what is unset matches every session. */
export interface SessionFilter {
  readonly id?: string | undefined;
  readonly owner?: string | undefined;
  readonly libraryItemId?: string | undefined;
  readonly states?: readonly SessionState[] | undefined;
}

/** Whether the session, in this state, is one of those that are watched. */
export function matches(filter: SessionFilter, record: SessionRecord, state = record.state): boolean {
  const { id, owner, libraryItemId, states } = filter;
  return (
    (id === undefined || record.id === id) &&
    (owner === undefined || record.owner === owner) &&
    (libraryItemId === undefined || record.libraryItemId === libraryItemId) &&
    (states === undefined || states.includes(state))
  );
}

/** Whether the event is about one of those sessions, or about one that has been until now. */
export function concerns(filter: SessionFilter, { record, stateBefore }: SessionEvent): boolean {
  return matches(filter, record) || (stateBefore !== undefined && matches(filter, record, stateBefore));
}

/** About how many bytes a session takes in an answer. */
export function bytesOf({
  id,
  owner,
  libraryItemId,
  contentVersion,
  errorMessage = "",
}: SessionRecord): number {
  return (
    120 + id.length + owner.length + 2 * libraryItemId.length + contentVersion.length + errorMessage.length
  );
}
