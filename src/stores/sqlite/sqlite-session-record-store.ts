import type { StatementSync } from "node:sqlite";
import { ServiceError } from "../../domain/errors.ts";
import type { Session } from "../../domain/session.ts";
import {
  pageBounds,
  type SessionPageRequest,
  type SessionRecord,
  type SessionRecordPage,
  type SessionRecordStore,
} from "../../domain/session-record-store.ts";
import { Turns } from "../../domain/turns.ts";
import type { StoreClock } from "./clock.ts";
import type { SqliteDatabase } from "./database.ts";

const { stepLength, maxSteps, maxMs } = pageBounds;

/** A session as a row: what is unset is null. */
interface RecordRow extends Omit<Session, "errorMessage" | "endsWithUser"> {
  readonly sequence: number;
  readonly errorMessage: string | null;
  readonly endsWithUser: 0 | 1;
  readonly createdAt: number | null;
  readonly clientAddress: string | null;
  readonly bytesSent: number;
}

/** Reads the rows in the order of creation. */
export class SqliteSessionRecordStore implements SessionRecordStore {
  readonly #db: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #clock: StoreClock;
  readonly #turns = new Turns();

  constructor(database: SqliteDatabase) {
    this.#db = database;
    this.#statements = prepareStatements(database);
    this.#clock = database.clock;
  }

  async page({
    cursor,
    owner,
    matches = () => true,
    maxSessions,
  }: SessionPageRequest): Promise<SessionRecordPage> {
    let position = cursor === undefined ? 0 : parseCursor(cursor);
    const endsAt = performance.now() + maxMs;
    const sessions: SessionRecord[] = [];
    for (let steps = 0; steps < maxSteps && performance.now() < endsAt; steps++) {
      const start = position;
      const rows = await this.#turns.run(() => this.#stretch(owner, start));
      const now = this.#clock.now();
      for (const row of rows) {
        if (sessions.length === maxSessions) return { sessions, cursor: String(position) };
        position = row.sequence;
        const session = this.#recordOf(row, now);
        if (session !== undefined && matches(session)) sessions.push(session);
      }
      if (rows.length < stepLength) return { sessions };
    }
    return { sessions, cursor: String(position) };
  }

  async find(ids: readonly string[]): Promise<(SessionRecord | undefined)[]> {
    return (await this.#turns.runEach(ids, stepLength, (some) => this.#find(some))).flat();
  }

  async recordClients(addresses: ReadonlyMap<string, string>): Promise<void> {
    await this.#turns.runEach([...addresses], stepLength, (some) =>
      this.#db.transaction(() => {
        for (const [id, address] of some) this.#statements.recordClient.run({ id, address });
      }),
    );
  }

  #stretch(owner: string | undefined, start: number): RecordRow[] {
    const { stretch, stretchOf } = this.#statements;
    const range = { start, length: stepLength };
    const rows = this.#db.read(() =>
      owner === undefined ? stretch.all(range) : stretchOf.all({ ...range, owner }),
    );
    return rows as unknown as RecordRow[];
  }

  #find(ids: readonly string[]): (SessionRecord | undefined)[] {
    return this.#db.read(() => {
      const now = this.#clock.now();
      return ids.map((id) => {
        const row = this.#statements.find.get({ id }) as RecordRow | undefined;
        return row && this.#recordOf(row, now);
      });
    });
  }

  /** Undefined when it has expired. */
  #recordOf(row: RecordRow, now: number): SessionRecord | undefined {
    const { sequence: _, errorMessage, endsWithUser, createdAt, clientAddress, expiresAt, ...session } = row;
    if (expiresAt <= now) return undefined;
    return {
      ...session,
      expiresAt: this.#clock.wall(expiresAt),
      ...(createdAt !== null && { createdAt: this.#clock.wall(createdAt) }),
      ...(clientAddress !== null && { clientAddress }),
      ...(endsWithUser === 1 && { endsWithUser: true }),
      ...(errorMessage !== null && { errorMessage }),
    };
  }
}

/** @throws ServiceError `downlease.page.token` */
function parseCursor(cursor: string): number {
  const sequence = Number(cursor);
  if (/^\d{1,16}$/.test(cursor) && Number.isSafeInteger(sequence)) return sequence;
  throw new ServiceError("downlease.page.token");
}

const select = `
  SELECT sequence, id, owner, library_item_id AS libraryItemId, content_version AS contentVersion, state, progress,
    expires_at AS expiresAt, error_message AS errorMessage, ends_with_user AS endsWithUser, created_at AS createdAt,
    client_address AS clientAddress,
    (SELECT min(coalesce(sum(bytes_sent), 0), ${Number.MAX_SAFE_INTEGER}) FROM session_file
      WHERE session_id = session.id) AS bytesSent
  FROM session`;

function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    /** The next :length rows after :start, expired ones included. */
    stretch: db.prepare(`${select} WHERE sequence > :start ORDER BY sequence LIMIT :length`),
    /** As well, those of :owner. */
    stretchOf: db.prepare(
      `${select} WHERE owner = :owner AND sequence > :start ORDER BY sequence LIMIT :length`,
    ),
    /** :id. */
    find: db.prepare(`${select} WHERE id = :id`),
    /** :id and :address. */
    recordClient: db.prepare("UPDATE session SET client_address = :address WHERE id = :id"),
  } satisfies Record<string, StatementSync>;
}
