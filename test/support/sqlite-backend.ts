import { SqliteBackend, type SqliteBackendOptions } from "../../src/stores/sqlite/backend.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { longLeaseTerms, longLoginTerms } from "./terms.ts";

export function openSqlite(path: string, options: Partial<SqliteBackendOptions> = {}): SqliteBackend {
  const defaults = { leaseTerms: longLeaseTerms, loginTerms: longLoginTerms };
  return new SqliteBackend(new SqliteDatabase(path), { ...defaults, ...options });
}
