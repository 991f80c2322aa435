import type { DatabaseSync } from "node:sqlite";
import { type Clock, systemClock } from "../../domain/clock.ts";
import { ServiceError } from "../../domain/errors.ts";
import {
  type Caller,
  existsFor,
  type FinalState,
  type Finish,
  finish,
  isProgress,
  isRefusal,
  keepAlive,
  type LeaseTerms,
  type NewSession,
  openSession,
  type Refusal,
  type Renewal,
  reopenSession,
  type Session,
} from "../../domain/session.ts";
import type { Heartbeat, SessionStore } from "../../domain/session-store.ts";
import { openDatabase } from "./database.ts";
import { prepareStatements, type SessionRow, type Statements } from "./statements.ts";

/** Rows that each creation looks at for expired ones: the garbage stays below a tenth of the living. */
const sweepLength = 16;

export interface SqliteSessionStoreOptions {
  /** A file, or `:memory:`. Several processes of one machine may share a file. */
  readonly path: string;
  readonly terms: LeaseTerms;
  readonly clock?: Clock;
}

/**
 * Sessions in an SQLite file: one machine, no other process needed, nothing lost when the process ends, however
 * abruptly. Calls do their work before they return, so that a call is never overtaken within the process.
 */
export class SqliteSessionStore implements SessionStore {
  readonly #db: DatabaseSync;
  readonly #statements: Statements;
  readonly #terms: LeaseTerms;
  readonly #clock: Clock;
  #sweptTo = 0;

  /** @throws Error when the file can't be opened, or belongs to some other program or a newer release */
  constructor({ path, terms, clock = systemClock }: SqliteSessionStoreOptions) {
    this.#db = openDatabase(path);
    this.#statements = prepareStatements(this.#db);
    this.#terms = terms;
    this.#clock = clock;
  }

  async create(spec: NewSession): Promise<Session> {
    return this.#transaction((now) => {
      this.#sweep(now);
      const existing = this.#find(spec.id);
      if (existing !== undefined && now < existing.expiresAt) {
        const reopened = reopenSession(existing, now, this.#terms);
        this.#update(reopened);
        return reopened;
      }
      const session = openSession(spec, now, this.#terms);
      this.#statements.insert.run({ ...session, errorMessage: null });
      return session;
    });
  }

  async get(id: string, caller: Caller): Promise<Session | undefined> {
    return this.#guard(() => this.#findFor(id, caller, this.#clock.now()));
  }

  async list(owner: string, libraryItemId?: string): Promise<string[]> {
    return this.#guard(() => {
      const now = this.#clock.now();
      const rows = this.#statements.list.all({ owner, now, libraryItemId: libraryItemId ?? null });
      return rows.map((row) => String(row.id));
    });
  }

  async keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    return this.#guard(() => this.#keepAlive(id, caller, progress, this.#clock.now()));
  }

  async keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller): Promise<(Renewal | Refusal)[]> {
    return this.#transaction((now) =>
      heartbeats.map(({ id, progress }) => this.#keepAlive(id, caller, progress, now)),
    );
  }

  async finish(
    id: string,
    caller: Caller,
    state: FinalState,
    errorMessage?: string,
  ): Promise<Finish | Refusal> {
    return this.#transaction((now) => {
      const session = this.#findFor(id, caller, now);
      if (session === undefined) return { outcome: "not_found" };
      const finished = finish(session, state, errorMessage, now, this.#terms);
      if (isRefusal(finished)) return finished;
      this.#update(finished);
      return { outcome: "finished", expiresAt: finished.expiresAt };
    });
  }

  async delete(id: string, caller: Caller): Promise<boolean> {
    return this.#guard(
      () => this.#statements.delete.run(visibleTo(id, caller, this.#clock.now())).changes === 1,
    );
  }

  async ping(): Promise<void> {
    this.#guard(() => this.#statements.ping.get());
  }

  /** The last process to close a file moves the log into it and removes the log. */
  async close(): Promise<void> {
    if (this.#db.isOpen) this.#guard(() => this.#db.close());
  }

  #keepAlive(id: string, caller: Caller, progress: number | undefined, now: number): Renewal | Refusal {
    if (progress === undefined || isProgress(progress)) {
      const { leaseMs } = this.#terms;
      const renewed = this.#statements.keepAlive.get({
        ...visibleTo(id, caller, now),
        progress: progress ?? 0,
        leaseMs,
      });
      if (renewed !== undefined) {
        return {
          outcome: "renewed",
          expiresAt: Number(renewed.expiresAt),
          progress: Number(renewed.progress),
        };
      }
    }
    const session = this.#findFor(id, caller, now);
    if (session === undefined) return { outcome: "not_found" };
    const refusal = keepAlive(session, progress, now, this.#terms);
    // Else another process has created the session anew since the update, which it did not exist for.
    return isRefusal(refusal) ? refusal : { outcome: "not_found" };
  }

  #find(id: string): Session | undefined {
    const row = this.#statements.find.get({ id }) as SessionRow | undefined;
    if (row === undefined) return undefined;
    const { errorMessage, ...session } = row;
    return errorMessage === null ? session : { ...session, errorMessage };
  }

  #findFor(id: string, caller: Caller, now: number): Session | undefined {
    const session = this.#find(id);
    return session !== undefined && existsFor(session, caller, now) ? session : undefined;
  }

  #update({ id, state, expiresAt, errorMessage }: Session): void {
    this.#statements.update.run({ id, state, expiresAt, errorMessage: errorMessage ?? null });
  }

  /** Goes round the table, one short stretch each time, and removes what has expired. */
  #sweep(now: number): void {
    const start = this.#sweptTo;
    const stretch = this.#statements.stretch.get({ start, length: sweepLength });
    const end = Number(stretch?.end);
    this.#statements.purge.run({ start, end, now });
    this.#sweptTo = stretch?.rows === sweepLength ? end : 0;
  }

  /** Work that must see and change the database as one step, also for other processes. */
  #transaction<T>(work: (now: number) => T): T {
    return this.#guard(() => {
      this.#db.exec("BEGIN IMMEDIATE");
      try {
        const result = work(this.#clock.now());
        this.#db.exec("COMMIT");
        return result;
      } catch (error) {
        // Some errors, a full disk among them, have rolled back already.
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    });
  }

  /** A driver's error stops here. */
  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (isDriverError(error)) throw new ServiceError("downlease.store.unavailable", [], error);
      throw error;
    }
  }
}

function visibleTo(id: string, caller: Caller, now: number) {
  return { id, now, principal: caller.admin ? null : caller.principal };
}

/** SQLite failed (locked, full, damaged, input or output), or the database is closed. */
function isDriverError(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ERR_SQLITE_ERROR" || code === "ERR_INVALID_STATE";
}
