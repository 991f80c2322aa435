import type { StatementSync } from "node:sqlite";
import {
  type ChangesListener,
  formatChanges,
  parseChanges,
  type SessionChange,
  type SessionChanges,
  watchPulse,
} from "../../domain/session-changes.ts";
import type { SqliteDatabase } from "./database.ts";

/** How often a process looks whether others watch, and whether there are changes if it does. Milliseconds. */
const lookMs = 250;

/** How long changes stay in the file: longer than any process is busy with something else. */
const keptMs = 10_000;

/** By when every process has noticed that another one watches, in milliseconds. */
const settleMs = 1_000;

interface ChangeRow {
  readonly sequence: number;
  readonly worker: string;
  readonly changes: string | null;
}

/**
 * Processes that share a file cannot notify each other, so they look into it from time to time: all of them for rows of
 * watchers, those that watch for rows of changes. Changes within the process need no row; a database in memory has none.
 */
export class SqliteSessionChanges implements SessionChanges {
  readonly #db: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #worker = crypto.randomUUID();
  readonly #listeners: Set<ChangesListener>;
  #isWatchedElsewhere = false;
  #timer: NodeJS.Timeout | undefined;
  /** The last row of changes that has been read. */
  #readTo = 0;
  #announcedAt = Number.NEGATIVE_INFINITY;

  constructor(database: SqliteDatabase) {
    this.#db = database;
    this.#statements = prepareStatements(database);
    this.#listeners = database.changeListeners;
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0 || this.#isWatchedElsewhere;
  }

  follow(): void {
    if (this.#db.isPrivate || this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#look(), lookMs).unref();
    this.#look();
  }

  async publish(changes: readonly SessionChange[] | "missed"): Promise<void> {
    this.#deliver(changes);
    if (!this.#isWatchedElsewhere) return;
    const now = this.#db.clock.now();
    await this.#db.transaction(() => {
      this.#statements.removeOld.run({ before: now - keptMs });
      this.#statements.add.run({
        worker: this.#worker,
        now,
        changes: changes === "missed" ? null : formatChanges(changes),
      });
    });
  }

  watch(listener: ChangesListener): { stop(): void } {
    if (this.#listeners.size === 0) this.#readTo = this.#lastSequence();
    this.#listeners.add(listener);
    this.follow();
    this.#look();
    const settled = this.#db.isPrivate ? undefined : setTimeout(() => listener.missed(), settleMs).unref();
    return {
      stop: () => {
        clearTimeout(settled);
        this.#listeners.delete(listener);
        if (this.#listeners.size === 0) this.#leave();
      },
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (this.#db.isPrivate) return;
    // While the file can't be read, nothing can be changed either.
    this.#db.attempt(() => {
      const now = this.#db.clock.now();
      this.#isWatchedElsewhere = this.#statements.watched.get({ worker: this.#worker, now }) !== undefined;
      if (this.#listeners.size === 0) return;
      this.#announce(now);
      this.#readChanges();
    });
  }

  #announce(now: number): void {
    if (now - this.#announcedAt < watchPulse.everyMs) return;
    const { announce, purge } = this.#statements;
    const isAnnounced = this.#db.attempt(() => {
      announce.run({ worker: this.#worker, until: now + watchPulse.countsMs });
      purge.run({ now });
    });
    if (isAnnounced) this.#announcedAt = now;
  }

  #leave(): void {
    this.#announcedAt = Number.NEGATIVE_INFINITY;
    if (!this.#db.isPrivate) this.#db.attempt(() => this.#statements.leave.run({ worker: this.#worker }));
  }

  #readChanges(): void {
    const rows = this.#statements.read.all({ after: this.#readTo }) as unknown as readonly ChangeRow[];
    for (const { sequence, worker, changes } of rows) {
      const isGap = sequence > this.#readTo + 1;
      this.#readTo = sequence;
      // What another release has written, and cannot be read, is as good as missing.
      const readable = changes === null ? undefined : parseChanges(changes);
      if (isGap || readable === undefined) this.#deliver("missed");
      if (worker !== this.#worker && readable !== undefined) this.#deliver(readable);
    }
  }

  #deliver(changes: readonly SessionChange[] | "missed"): void {
    for (const listener of this.#listeners) {
      if (changes === "missed") listener.missed();
      else listener.changed(changes);
    }
  }

  #lastSequence(): number {
    return this.#db.read(() => Number(this.#statements.last.get()?.sequence ?? 0));
  }
}

function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    /** A row if another process than :worker watches :now. */
    watched: db.prepare("SELECT 1 FROM session_watcher WHERE worker <> :worker AND counts_until > :now"),
    /** :worker watches, which counts :until. */
    announce: db.prepare(
      "INSERT OR REPLACE INTO session_watcher (worker, counts_until) VALUES (:worker, :until)",
    ),
    /** :worker does not watch any more. */
    leave: db.prepare("DELETE FROM session_watcher WHERE worker = :worker"),
    /** :now; processes that have ended without leaving. */
    purge: db.prepare("DELETE FROM session_watcher WHERE counts_until <= :now"),
    /** :worker, :now and :changes, null for missing ones. */
    add: db.prepare(
      "INSERT INTO session_change (worker, published_at, changes) VALUES (:worker, :now, :changes)",
    ),
    /** Those of the time :before. */
    removeOld: db.prepare("DELETE FROM session_change WHERE published_at < :before"),
    /** Rows :after a sequence. */
    read: db.prepare(
      "SELECT sequence, worker, changes FROM session_change WHERE sequence > :after ORDER BY sequence",
    ),
    last: db.prepare("SELECT seq AS sequence FROM sqlite_sequence WHERE name = 'session_change'"),
  } satisfies Record<string, StatementSync>;
}
