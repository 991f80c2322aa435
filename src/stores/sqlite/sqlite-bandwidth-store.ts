import {
  type BandwidthPortion,
  type BandwidthRequest,
  maxAheadMs,
  portionMs,
  sharerMs,
  slackMs,
} from "../../domain/bandwidth.ts";
import type { BandwidthStore } from "../../domain/bandwidth-store.ts";
import type { SqliteDatabase } from "./database.ts";

/** One row for each process, written in one statement for each portion. */
export class SqliteBandwidthStore implements BandwidthStore {
  readonly #db: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;
  #hasPurged = false;

  constructor(database: SqliteDatabase) {
    this.#db = database;
    this.#statements = prepareStatements(database);
  }

  async lease({ worker, downloads, bytesPerSecond }: BandwidthRequest): Promise<BandwidthPortion> {
    return this.#db.write(() => {
      const now = this.#db.clock.now();
      if (!this.#hasPurged) this.#statements.purge.run({ now });
      this.#hasPurged = true;
      const row = this.#statements.lease.get({ worker, downloads, perMs: bytesPerSecond / 1000, now })!;
      const startsInMs = Math.max(0, Number(row.givenFrom) - now);
      return { bytes: Number(row.bytes), startsInMs, share: Number(row.share) };
    });
  }
}

function prepareStatements({ connection: db }: SqliteDatabase) {
  return {
    /** :worker, :downloads, :perMs bytes and :now; the rules are those of `domain/bandwidth.ts`. */
    lease: db.prepare(`
      WITH
        sharers AS (
          SELECT :downloads * 1.0 / (:downloads + coalesce(sum(downloads), 0)) AS share
          FROM bandwidth WHERE worker <> :worker AND counts_until > :now),
        given AS (SELECT coalesce(max(given_until), 0) AS until FROM bandwidth),
        portion AS (
          SELECT share, max(1, CAST(:perMs * ${portionMs} * share AS INTEGER)) AS bytes,
            min(max(until, :now - ${slackMs}), :now + ${maxAheadMs}) AS start
          FROM sharers, given)
      INSERT INTO bandwidth (worker, downloads, counts_until, share, bytes, given_from, given_until)
        SELECT :worker, :downloads, :now + ${sharerMs}, share, bytes, start, start + bytes / :perMs
        FROM portion WHERE true
      ON CONFLICT (worker) DO UPDATE SET
        downloads = excluded.downloads, counts_until = excluded.counts_until, share = excluded.share,
        bytes = excluded.bytes, given_from = excluded.given_from, given_until = excluded.given_until
      RETURNING bytes, given_from AS givenFrom, share`),

    /** :now; processes that have ended. */
    purge: db.prepare("DELETE FROM bandwidth WHERE counts_until <= :now"),
  };
}
