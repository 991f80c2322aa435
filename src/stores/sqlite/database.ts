import { EventEmitter } from "node:events";
import { resolve } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "pino";
import { ServiceError } from "../../domain/errors.ts";
import type { ChangesListener } from "../../domain/session-changes.ts";
import { type Clocks, StoreClock, systemClocks } from "./clock.ts";
import { DatabaseFiles } from "./database-files.ts";
import { isBusy, isDriverError } from "./driver-errors.ts";
import { LockQueue } from "./lock-queue.ts";
import { inMemory, openFile } from "./open-file.ts";
import { prepareSign, type Resumption, resume } from "./sign-of-life.ts";

export interface SqliteDatabaseOptions {
  /** Leases get back at most so much of the time that no process served from the file; 0 by default. */
  readonly maxDowntimeMs?: number;
  readonly log?: Logger | undefined;
  readonly clocks?: Clocks;
}

/**
 * The SQLite file that the stores of a backend share. Failures become ServiceErrors `downlease.store.unavailable`.
 *
 * Work is done before a call returns, so that a process's calls take effect in order; only while another process holds
 * the lock of the file, a call returns a promise and the work is done later. Work that found the lock held must be
 * repeatable.
 */
export class SqliteDatabase {
  readonly connection: DatabaseSync;
  /** Whether no other process can use the database. */
  readonly isPrivate: boolean;
  /** The clock that all times in the database are on. */
  readonly clock: StoreClock;
  /** Announces each session that this process ends, once that is committed. */
  readonly ends = new EventEmitter<{ session: [id: string] }>().setMaxListeners(0);
  /** Announces each update of the settings by this process, once that is committed. */
  readonly updates = new EventEmitter<{ settings: [] }>().setMaxListeners(0);
  /** Those in this process that watch changes of sessions. */
  readonly changeListeners = new Set<ChangesListener>();
  readonly #files: DatabaseFiles | undefined;
  readonly #lock = new LockQueue();
  readonly #sign: (isLarge: boolean) => void;
  /** Why nothing may be acknowledged; undefined as long as the file is the one that was opened. */
  #problem: Error | undefined;
  /** Whether a write has failed since the last large one that did not. */
  #isSuspect = false;

  /**
   * Opens the file, or creates it. A file that is not ours is left untouched.
   *
   * @param path a file, or `:memory:`; several processes of one machine may share a file
   * @throws Error that names the file and says what is wrong with it, or that a newer release has written it
   */
  constructor(path: string, { maxDowntimeMs = 0, log, clocks = systemClocks }: SqliteDatabaseOptions = {}) {
    this.isPrivate = path === inMemory;
    const file = this.isPrivate ? path : resolve(path);
    const { db, prepared } = openFile(file, (opened) => resume(opened, clocks, maxDowntimeMs));
    this.connection = db;
    this.clock = new StoreClock(clocks, prepared.offsetMs, log);
    this.#sign = prepareSign(db, clocks, prepared.offsetMs);
    this.#files = this.isPrivate ? undefined : new DatabaseFiles(file);
    if (log !== undefined) {
      report(prepared, log);
      warnOfPublic(this.#files?.publicFiles ?? [], log);
    }
  }

  /** Bytes of the database, without its log. */
  size(): number {
    return this.read(() => {
      const row = this.connection
        .prepare("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size")
        .get();
      return Number(row?.bytes);
    });
  }

  /** Runs work that reads. */
  read<T>(work: () => T): T {
    this.#requireFile();
    try {
      return work();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Runs work that reads one state of the database in several statements. */
  snapshot<T>(work: () => T): T {
    return this.read(() => this.#asOne("BEGIN", work));
  }

  /** Runs work that writes in one statement. */
  write<T>(work: () => T): T | Promise<T> {
    this.#requireFile();
    if (!this.#lock.isFree) return this.#writeLater(work);
    try {
      return work();
    } catch (error) {
      if (isBusy(error)) return this.#writeLater(work);
      throw this.#failure(error);
    }
  }

  /**
   * Runs work that reads and writes in one atomic step, also for other processes.
   *
   * @param committed called with the result once it is written, before anything else is done
   */
  transaction<T>(work: () => T, committed?: (result: T) => void): T | Promise<T> {
    return this.write(() => {
      const result = this.#asOne("BEGIN IMMEDIATE", work);
      committed?.(result);
      return result;
    });
  }

  /** Runs work that writes, but never waits for a lock. Returns false when it could not be written. */
  attempt(work: () => unknown): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!isDriverError(error)) throw error;
      this.#failure(error);
      return false;
    }
  }

  /**
   * Resolves when a session could be created now: the files are those that were opened, and the sign of life can be
   * written.
   */
  async probe(): Promise<void> {
    const problem = await this.#files?.problem();
    if (problem !== undefined && this.#problem === undefined) this.#emptyLog();
    this.#problem = problem === undefined ? undefined : new Error(problem);
    const isLarge = this.#isSuspect;
    await this.write(() => this.#sign(isLarge));
    if (isLarge) this.#isSuspect = false;
  }

  /** The last process to close a file moves the log into it and removes the log. */
  close(): void {
    if (!this.connection.isOpen) return;
    try {
      this.connection.close();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async #writeLater<T>(work: () => T): Promise<T> {
    try {
      return await this.#lock.run(() => {
        this.#requireFile();
        return work();
      });
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Moves the log into the file that was opened: SQLite takes a log for that of the file which is at the path now. */
  #emptyLog(): void {
    this.attempt(() => this.connection.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
  }

  #requireFile(): void {
    if (this.#problem !== undefined) throw unavailable(this.#problem);
  }

  #failure(error: unknown): unknown {
    if (!isDriverError(error)) return error;
    if (!isBusy(error)) this.#isSuspect = true;
    return unavailable(error);
  }

  #asOne<T>(begin: "BEGIN" | "BEGIN IMMEDIATE", work: () => T): T {
    this.connection.exec(begin);
    try {
      const result = work();
      this.connection.exec("COMMIT");
      return result;
    } catch (error) {
      // Some errors, a full disk among them, have rolled back already.
      if (this.connection.isTransaction) this.connection.exec("ROLLBACK");
      throw error;
    }
  }
}

function unavailable(cause: unknown): ServiceError {
  return new ServiceError("downlease.store.unavailable", [], cause);
}

/** Files of earlier releases, or that somebody has shared. */
function warnOfPublic(paths: readonly string[], log: Logger): void {
  for (const path of paths) {
    log.warn(
      `everybody on this machine can read sessions and the key of links in ${path}: chmod o-rw ${path}`,
    );
  }
}

function report({ downMs, prolongedMs, sessions }: Resumption, log: Logger): void {
  if (prolongedMs === 0) return;
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  log.info(
    { downMs: Math.round(downMs), prolongedMs, sessions },
    `the service was down for ${seconds(downMs)}; leases are prolonged by ${seconds(prolongedMs)}`,
  );
}
