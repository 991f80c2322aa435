import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Login, LoginRecord } from "../../domain/login-store.ts";

/** A login session as a row, its roles as one text. */
export type LoginRow = Omit<Login, "roles"> & { readonly roles: string };

export type LoginRecordRow = Omit<LoginRecord, "roles"> & { readonly roles: string };

/** Expired rows that each insertion removes at most: more than it adds. */
const purgeLength = 16;

/** Every statement of the login store, compiled once. Times are in milliseconds. */
export function prepareLoginStatements(db: DatabaseSync) {
  return {
    insert: db.prepare(`
      INSERT INTO login (digest, principal, roles, proof, created_at, last_used_at, expires_at)
      VALUES (:digest, :principal, :roles, :proof, :now, :now, :expiresAt)`),

    /** :digest and :now; returns a LoginRow. */
    find: db.prepare(`
      SELECT principal, roles, proof, created_at AS createdAt, last_used_at AS lastUsedAt
      FROM login WHERE digest = :digest AND expires_at > :now`),

    /** The next :length rows after the digest :start, expired ones included; LoginRecordRows. */
    stretch: db.prepare(`
      SELECT digest, principal, roles, proof, created_at AS createdAt, last_used_at AS lastUsedAt,
        expires_at AS expiresAt
      FROM login WHERE digest > :start ORDER BY digest LIMIT :length`),

    use: db.prepare("UPDATE login SET last_used_at = :now, expires_at = :expiresAt WHERE digest = :digest"),

    delete: db.prepare("DELETE FROM login WHERE digest = :digest AND expires_at > :now"),

    purge: db.prepare(`
      DELETE FROM login WHERE digest IN
        (SELECT digest FROM login WHERE expires_at <= :now ORDER BY expires_at LIMIT ${purgeLength})`),

    /** :digest, :now and :windowMs. */
    addFailure: db.prepare(`
      INSERT INTO login_failure (digest, count, forgotten_at) VALUES (:digest, 1, :now + :windowMs)
      ON CONFLICT (digest) DO UPDATE SET
        count = iif(forgotten_at > :now, count + 1, 1),
        forgotten_at = iif(forgotten_at > :now, forgotten_at, excluded.forgotten_at)
      RETURNING count, forgotten_at - :now AS forgottenInMs`),

    forgetLastFailure: db.prepare("DELETE FROM login_failure WHERE digest = :digest AND count = 1"),

    removeFailure: db.prepare("UPDATE login_failure SET count = count - 1 WHERE digest = :digest"),

    purgeFailures: db.prepare(`
      DELETE FROM login_failure WHERE digest IN
        (SELECT digest FROM login_failure WHERE forgotten_at <= :now ORDER BY forgotten_at LIMIT ${purgeLength})`),
  } satisfies Record<string, StatementSync>;
}

export type LoginStatements = ReturnType<typeof prepareLoginStatements>;
