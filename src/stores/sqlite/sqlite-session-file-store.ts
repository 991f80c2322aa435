import type { StatementSync } from "node:sqlite";
import { LeaseCounts } from "../../domain/lease-counts.ts";
import { rolesFrom } from "../../domain/roles.ts";
import {
  type Caller,
  isRefusal,
  keepAlive,
  type LeaseTerms,
  type Refusal,
  type Renewal,
} from "../../domain/session.ts";
import type {
  EndpointType,
  SessionFile,
  SessionFileStore,
  SessionFiles,
} from "../../domain/session-file-store.ts";
import type { StoreClock } from "./clock.ts";
import type { SqliteDatabase } from "./database.ts";
import { SessionTable } from "./session-table.ts";

/** Sees every session. */
const anybody: Caller = { principal: "", roles: rolesFrom(["admin"]) };

/** The greatest sum that JavaScript represents exactly. */
const maxBytes = Number.MAX_SAFE_INTEGER;

interface FileRow {
  readonly name: string;
  readonly requested: EndpointType | null;
  readonly requestedAt: number | null;
  readonly bytesSent: number;
}

export interface SqliteSessionFileStoreOptions {
  readonly database: SqliteDatabase;
  readonly terms: LeaseTerms;
  readonly counts?: LeaseCounts;
}

/** One row for each file that was requested or sent; it is deleted with the row of its session. */
export class SqliteSessionFileStore implements SessionFileStore {
  readonly #db: SqliteDatabase;
  readonly #sessions: SessionTable;
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #terms: LeaseTerms;
  readonly #counts: LeaseCounts;
  readonly #clock: StoreClock;

  constructor({ database, terms, counts = new LeaseCounts() }: SqliteSessionFileStoreOptions) {
    this.#db = database;
    this.#sessions = new SessionTable(database.connection);
    this.#statements = prepareStatements(database);
    this.#terms = terms;
    this.#counts = counts;
    this.#clock = database.clock;
  }

  async files(id: string, caller: Caller): Promise<SessionFiles | undefined> {
    return this.#db.snapshot(() => {
      const now = this.#clock.now();
      const session = this.#sessions.findFor(id, caller, now);
      if (session === undefined) return undefined;
      const rows = this.#statements.files.all({ id }) as unknown as FileRow[];
      const expiresAt = this.#clock.wall(session.expiresAt);
      return {
        session: { ...session, expiresAt },
        files: new Map(rows.map((row) => [row.name, fileOf(row, now)])),
      };
    });
  }

  async request(
    id: string,
    caller: Caller,
    name: string,
    endpointType: EndpointType,
  ): Promise<Renewal | Refusal> {
    return this.#renewWith(id, caller, (now) =>
      this.#statements.request.run({ id, name, endpointType, now }),
    );
  }

  async recordSent(id: string, sent: ReadonlyMap<string, number>): Promise<Renewal | Refusal> {
    const result = await this.#renewWith(id, anybody, () => {
      for (const [name, bytes] of sent) this.#statements.addSent.run({ id, name, bytes });
    });
    if (result.outcome === "renewed") this.#counts.renewed++;
    return result;
  }

  /** A keep-alive without progress, in one step with what `write` writes. */
  #renewWith(
    id: string,
    caller: Caller,
    write: (now: number) => void,
  ): Renewal | Refusal | Promise<Renewal | Refusal> {
    return this.#db.transaction((): Renewal | Refusal => {
      const now = this.#clock.now();
      const session = this.#sessions.findFor(id, caller, now);
      if (session === undefined) return { outcome: "not_found" };
      const renewed = keepAlive(session, undefined, now, this.#terms);
      if (isRefusal(renewed)) return renewed;
      write(now);
      this.#sessions.update(renewed);
      const expiresAt = this.#clock.wall(renewed.expiresAt);
      return { outcome: "renewed", expiresAt, progress: renewed.progress };
    });
  }
}

function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    /** :id; gives FileRows. */
    files: db.prepare(`
      SELECT name, requested, requested_at AS requestedAt, bytes_sent AS bytesSent FROM session_file WHERE session_id = :id`),

    /** :id, :name, :endpointType and :now. */
    request: db.prepare(`
      INSERT INTO session_file (session_id, name, requested, requested_at, bytes_sent)
        VALUES (:id, :name, :endpointType, :now, 0)
      ON CONFLICT DO UPDATE SET
        requested = excluded.requested, requested_at = coalesce(requested_at, excluded.requested_at)`),

    /** :id, :name and :bytes. */
    addSent: db.prepare(`
      INSERT INTO session_file (session_id, name, bytes_sent) VALUES (:id, :name, min(:bytes, ${maxBytes}))
      ON CONFLICT DO UPDATE SET bytes_sent = min(bytes_sent + excluded.bytes_sent, ${maxBytes})`),
  } satisfies Record<string, StatementSync>;
}

function fileOf({ requested, requestedAt, bytesSent }: FileRow, now: number): SessionFile {
  if (requested === null) return { bytesSent };
  return { requested, requestedForMs: now - (requestedAt ?? now), bytesSent };
}
