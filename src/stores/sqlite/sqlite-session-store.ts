import { ServiceError } from "../../domain/errors.ts";
import { LeaseCounts } from "../../domain/lease-counts.ts";
import { isAdmin } from "../../domain/roles.ts";
import {
  type Caller,
  type FinalState,
  type Finish,
  finish,
  hasRoom,
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
  tooManySessions,
} from "../../domain/session.ts";
import type { Heartbeat, SessionStore } from "../../domain/session-store.ts";
import { Turns } from "../../domain/turns.ts";
import type { StoreClock } from "./clock.ts";
import type { SqliteDatabase } from "./database.ts";
import { prepareStatements, type Statements } from "./session-statements.ts";
import { SessionTable } from "./session-table.ts";

/** How many rows each creation checks for expired ones: they stay below a tenth of the living. */
const sweepLength = 16;
/** At the limit an owner's expired rows are removed at most so often: each time all of their rows are read. */
const searchPauseMs = 250;
/** How many rows a list reads at a time. */
const listLength = 500;

export interface SqliteSessionStoreOptions {
  readonly database: SqliteDatabase;
  readonly terms: LeaseTerms;
  readonly counts?: LeaseCounts;
}

/** One row for each session. Its time of expiry is on the clock of the database; callers get the time of day. */
export class SqliteSessionStore implements SessionStore {
  readonly #db: SqliteDatabase;
  readonly #table: SessionTable;
  readonly #statements: Statements;
  readonly #terms: LeaseTerms;
  readonly #counts: LeaseCounts;
  readonly #clock: StoreClock;
  readonly #turns = new Turns();
  #sweptTo = 0;

  constructor({ database, terms, counts = new LeaseCounts() }: SqliteSessionStoreOptions) {
    this.#db = database;
    this.#table = new SessionTable(database.connection);
    this.#statements = prepareStatements(database.connection);
    this.#terms = terms;
    this.#counts = counts;
    this.#clock = database.clock;
  }

  async create(spec: NewSession): Promise<Session> {
    // Returned, not thrown: the rows that were removed on the way stay removed.
    const result = await this.#transaction((now) => {
      this.#sweep(now);
      const existing = this.#table.find(spec.id);
      if (existing !== undefined && now < existing.expiresAt) {
        const reopened = reopenSession(existing, now, this.#terms);
        this.#table.update(reopened);
        return { isNew: false, session: this.#announced(reopened) };
      }
      if (existing !== undefined) this.#statements.remove.run({ id: spec.id });
      if (!this.#hasRoom(spec.owner, now)) return tooManySessions(this.#terms);
      const session = openSession(spec, now, this.#terms);
      const endsWithUser = session.endsWithUser ? 1 : 0;
      this.#statements.insert.run({ ...session, createdAt: now, endsWithUser });
      return { isNew: true, session: this.#announced(session) };
    });
    if (result instanceof ServiceError) throw result;
    if (result.isNew) this.#counts.granted++;
    else if (result.session.state === "ACTIVE") this.#counts.renewed++;
    return result.session;
  }

  async get(id: string, caller: Caller): Promise<Session | undefined> {
    return this.#db.read(() => {
      const session = this.#table.findFor(id, caller, this.#clock.now());
      return session && this.#announced(session);
    });
  }

  async list(owner: string, libraryItemId?: string): Promise<string[]> {
    const ids: string[] = [];
    const filter = { owner, libraryItemId: libraryItemId ?? null, length: listLength };
    const readPage = (start: number) =>
      this.#db.read(() => {
        const now = this.#clock.now();
        const rows = this.#statements.list.all({ ...filter, now, start });
        for (const { id, matches } of rows) if (matches === 1) ids.push(String(id));
        return rows.length < listLength ? undefined : Number(rows.at(-1)!.sequence);
      });
    let end = readPage(0);
    while (end !== undefined) {
      const start = end;
      end = await this.#turns.run(() => readPage(start));
    }
    return ids;
  }

  async keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    return this.#db.write(() => this.#keepAlive(id, caller, progress, this.#clock.now()));
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
    return this.#transaction(
      (now): Finish | Refusal => {
        const session = this.#table.findFor(id, caller, now);
        if (session === undefined) return { outcome: "not_found" };
        const finished = finish(session, state, errorMessage, now, this.#terms);
        if (isRefusal(finished)) return finished;
        this.#table.update(finished);
        return { outcome: "finished", expiresAt: this.#clock.wall(finished.expiresAt) };
      },
      ({ outcome }) => {
        if (outcome !== "finished") return;
        this.#counts[state === "ERROR" ? "failed" : "canceled"]++;
        this.#db.ends.emit("session", id);
      },
    );
  }

  async delete(id: string, caller: Caller): Promise<boolean> {
    return this.#db.write(() => {
      const deleted = this.#statements.delete.get(visibleTo(id, caller, this.#clock.now()));
      if (deleted === undefined) return false;
      if (deleted.state === "ACTIVE") this.#counts.deleted++;
      this.#db.ends.emit("session", id);
      return true;
    });
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
          expiresAt: this.#clock.wall(Number(renewed.expiresAt)),
          progress: Number(renewed.progress),
        };
      }
    }
    const session = this.#table.findFor(id, caller, now);
    if (session === undefined) return { outcome: "not_found" };
    const refusal = keepAlive(session, progress, now, this.#terms);
    // Otherwise another process has created the session since the update, which did not find it.
    return isRefusal(refusal) ? refusal : { outcome: "not_found" };
  }

  /** Whether the owner may have one more session, after expired ones were removed if necessary. */
  #hasRoom(owner: string, now: number): boolean {
    const { sessions = 0, sureUntil = 0 } = this.#statements.count.get({ owner }) ?? {};
    if (hasRoom(Number(sessions), this.#terms)) return true;
    if (now < Number(sureUntil)) return false;
    const { changes } = this.#statements.purgeOf.run({ owner, now });
    this.#statements.beSure.run({ owner, least: now + searchPauseMs });
    return hasRoom(Number(sessions) - Number(changes), this.#terms);
  }

  /** Removes expired rows: each call checks the next few rows of the table, and starts over at its end. */
  #sweep(now: number): void {
    const start = this.#sweptTo;
    const stretch = this.#statements.stretch.get({ start, length: sweepLength });
    const end = Number(stretch?.end);
    this.#statements.purge.run({ start, end, now });
    this.#sweptTo = stretch?.rows === sweepLength ? end : 0;
  }

  #announced(session: Session): Session {
    return { ...session, expiresAt: this.#clock.wall(session.expiresAt) };
  }

  #transaction<T>(work: (now: number) => T, committed?: (result: T) => void): T | Promise<T> {
    return this.#db.transaction(() => work(this.#clock.now()), committed);
  }
}

function visibleTo(id: string, caller: Caller, now: number) {
  return { id, now, principal: isAdmin(caller) ? null : caller.principal };
}
