import { SqliteBackend, type SqliteBackendOptions } from "../../src/stores/sqlite/backend.ts";
import type { Clocks } from "../../src/stores/sqlite/clock.ts";
import { SqliteDatabase, type SqliteDatabaseOptions } from "../../src/stores/sqlite/database.ts";
import { longLeaseTerms, longLoginTerms } from "./terms.ts";

export function openSqlite(
  path: string,
  options: Partial<SqliteBackendOptions> & SqliteDatabaseOptions = {},
): SqliteBackend {
  const defaults = { leaseTerms: longLeaseTerms, loginTerms: longLoginTerms };
  return new SqliteBackend(new SqliteDatabase(path, options), { ...defaults, ...options });
}

/** The clocks of a machine on which every clock shows the same time. */
export function clocksAt(now: () => number): Clocks {
  return { boot: "the only one", monotonicMs: now, wallMs: now, exactWallMs: now };
}
