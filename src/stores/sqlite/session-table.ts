import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Caller, existsFor, type Session } from "../../domain/session.ts";

/** A session as a row: what is unset is null. */
interface SessionRow extends Omit<Session, "errorMessage" | "endsWithUser"> {
  readonly errorMessage: string | null;
  readonly endsWithUser: 0 | 1;
}

/** Reads and updates single sessions, for the stores of sessions and of their files. */
export class SessionTable {
  readonly #find: StatementSync;
  readonly #update: StatementSync;

  constructor(db: DatabaseSync) {
    this.#find = db.prepare(`
      SELECT id, owner, library_item_id AS libraryItemId, content_version AS contentVersion, state, progress,
        expires_at AS expiresAt, error_message AS errorMessage, ends_with_user AS endsWithUser
      FROM session WHERE id = :id`);
    this.#update = db.prepare(`
      UPDATE session SET state = :state, expires_at = :expiresAt, error_message = :errorMessage WHERE id = :id`);
  }

  /** Expired sessions, too. */
  find(id: string): Session | undefined {
    const row = this.#find.get({ id }) as SessionRow | undefined;
    if (row === undefined) return undefined;
    const { errorMessage, endsWithUser, ...session } = row;
    return {
      ...session,
      ...(endsWithUser === 1 && { endsWithUser: true }),
      ...(errorMessage !== null && { errorMessage }),
    };
  }

  findFor(id: string, caller: Caller, now: number): Session | undefined {
    const session = this.find(id);
    return session !== undefined && existsFor(session, caller, now) ? session : undefined;
  }

  /** Writes the members that change, except the progress. */
  update({ id, state, expiresAt, errorMessage }: Session): void {
    this.#update.run({ id, state, expiresAt, errorMessage: errorMessage ?? null });
  }
}
