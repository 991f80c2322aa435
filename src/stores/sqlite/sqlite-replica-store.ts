import type { Census } from "../../domain/census.ts";
import {
  type Fleet,
  maxReplicas,
  type ReplicaReport,
  type ReplicaStore,
  replicaMs,
  type SeenReplica,
} from "../../domain/replica-store.ts";
import type { SqliteDatabase } from "./database.ts";

/** A row for each process, and one for what they know in common. */
export class SqliteReplicaStore implements ReplicaStore {
  readonly #db: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(database: SqliteDatabase) {
    this.#db = database;
    this.#statements = prepareStatements(database);
  }

  async report({
    replica,
    counted,
    batch,
  }: ReplicaReport): Promise<Fleet & { readonly takesCensus: boolean }> {
    const { add, take, purge, report } = this.#statements;
    const { name } = replica;
    return this.#db.transaction(() => {
      const now = this.#db.clock.now();
      add.run({ name, batch, granted: counted.granted, ended: counted.ended });
      const takesCensus = take.run({ name, now, until: now + replicaMs }).changes === 1;
      if (takesCensus) purge.run({ silentSince: now - replicaMs });
      report.run({ name, now, batch, report: JSON.stringify(replica) });
      return { ...this.#fleet(now), takesCensus };
    });
  }

  async read(): Promise<Fleet & { readonly replicas: readonly SeenReplica[] }> {
    return this.#db.snapshot(() => {
      const { clock } = this.#db;
      const now = clock.now();
      const rows = this.#statements.replicas.all({ silentSince: now - replicaMs });
      const replicas = rows.map(
        (row): SeenReplica => ({
          ...JSON.parse(String(row.report)),
          seenAt: clock.wall(Number(row.seenAt)),
        }),
      );
      return { ...this.#fleet(now), replicas };
    });
  }

  async recordCensus(name: string, census: Census): Promise<boolean> {
    return this.#db.write(
      () => this.#statements.record.run({ name, census: JSON.stringify(census) }).changes === 1,
    );
  }

  async leave(name: string): Promise<void> {
    await this.#db.transaction(() => {
      this.#statements.forget.run({ name });
      this.#statements.release.run({ name });
    });
  }

  #fleet(now: number): Fleet {
    const { granted, ended, latest } = this.#statements.census.get()!;
    return {
      now: this.#db.clock.wall(now),
      totals: { granted: Number(granted), ended: Number(ended) },
      census: latest === null ? undefined : JSON.parse(String(latest)),
    };
  }
}

function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    census: db.prepare("SELECT granted, ended, latest FROM census"),
    add: db.prepare(`
      UPDATE census SET granted = granted + :granted, ended = ended + :ended
      WHERE NOT EXISTS (SELECT 1 FROM replica WHERE name = :name AND batch = :batch)`),
    take: db.prepare(
      "UPDATE census SET taker = :name, taken_until = :until WHERE taker = :name OR taken_until <= :now",
    ),
    record: db.prepare("UPDATE census SET latest = :census WHERE taker = :name"),
    release: db.prepare("UPDATE census SET taker = NULL, taken_until = 0 WHERE taker = :name"),
    replicas: db.prepare(
      "SELECT report, seen_at AS seenAt FROM replica WHERE seen_at > :silentSince ORDER BY name",
    ),
    report: db.prepare(`
      INSERT INTO replica (name, seen_at, batch, report)
        SELECT :name, :now, :batch, :report WHERE (SELECT count(*) FROM replica WHERE name <> :name) < ${maxReplicas}
      ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, batch = excluded.batch, report = excluded.report`),
    purge: db.prepare("DELETE FROM replica WHERE seen_at <= :silentSince"),
    forget: db.prepare("DELETE FROM replica WHERE name = :name"),
  };
}
