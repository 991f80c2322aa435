import { ServiceError } from "../../domain/errors.ts";
import { digestOf, isLoginDigest, isLoginId, leftMs, newLoginId, trustMs } from "../../domain/login.ts";
import type {
  Failures,
  Login,
  LoginPageRequest,
  LoginRecord,
  LoginRecordPage,
  LoginStore,
  LoginTerms,
  NewLogin,
} from "../../domain/login-store.ts";
import { formatRoles, parseRoles } from "../../domain/roles.ts";
import { pageBounds } from "../../domain/session-record-store.ts";
import { Turns } from "../../domain/turns.ts";
import type { StoreClock } from "./clock.ts";
import type { SqliteDatabase } from "./database.ts";
import {
  type LoginRecordRow,
  type LoginRow,
  type LoginStatements,
  prepareLoginStatements,
} from "./login-statements.ts";

const { stepLength, maxSteps, maxMs } = pageBounds;

export interface SqliteLoginStoreOptions {
  readonly database: SqliteDatabase;
  readonly terms: LoginTerms;
}

/**
 * Login sessions in an SQLite file. Every look-up reads the file, so that a closed login session is gone at once for
 * all processes that share it; a use is written when the last written one is `trustMs` ago, if it can be.
 */
export class SqliteLoginStore implements LoginStore {
  readonly #db: SqliteDatabase;
  readonly #statements: LoginStatements;
  readonly #terms: LoginTerms;
  readonly #trustMs: number;
  readonly #clock: StoreClock;
  readonly #turns = new Turns();

  constructor({ database, terms }: SqliteLoginStoreOptions) {
    this.#db = database;
    this.#statements = prepareLoginStatements(database.connection);
    this.#terms = terms;
    this.#trustMs = trustMs(terms);
    this.#clock = database.clock;
  }

  async open({ principal, roles, proof }: NewLogin): Promise<string> {
    const id = newLoginId();
    const digest = digestOf(id);
    await this.#db.transaction(() => {
      const now = this.#clock.now();
      const expiresAt = now + leftMs({ createdAt: now }, now, this.#terms);
      this.#statements.purge.run({ now });
      this.#statements.insert.run({ digest, principal, roles: formatRoles(roles), proof, now, expiresAt });
    });
    return id;
  }

  /** Never returns a promise. */
  find(id: string): Login | undefined {
    if (!isLoginId(id)) return undefined;
    const digest = digestOf(id);
    return this.#db.read(() => {
      const now = this.#clock.now();
      const row = this.#statements.find.get({ digest, now }) as LoginRow | undefined;
      if (row === undefined) return undefined;
      const { principal, proof, createdAt, lastUsedAt } = row;
      const left = leftMs(row, now, this.#terms);
      if (left <= 0) return undefined;
      const isDue = now - lastUsedAt >= this.#trustMs;
      // The login session is valid whether this can be written or not.
      const isUsed =
        isDue && this.#db.attempt(() => this.#statements.use.run({ digest, now, expiresAt: now + left }));
      return {
        principal,
        roles: parseRoles(row.roles),
        proof,
        createdAt: this.#clock.wall(createdAt),
        lastUsedAt: this.#clock.wall(isUsed ? now : lastUsedAt),
      };
    });
  }

  async close(id: string): Promise<boolean> {
    if (!isLoginId(id)) return false;
    const digest = digestOf(id);
    return this.#db.write(() => {
      return this.#statements.delete.run({ digest, now: this.#clock.now() }).changes === 1;
    });
  }

  /** In the order of the digests. */
  async page({ cursor = "", principal, maxLogins }: LoginPageRequest): Promise<LoginRecordPage> {
    if (cursor !== "" && !isLoginDigest(cursor)) throw new ServiceError("downlease.page.token");
    const endsAt = performance.now() + maxMs;
    const logins: LoginRecord[] = [];
    let position = cursor;
    for (let steps = 0; steps < maxSteps && performance.now() < endsAt; steps++) {
      const range = { start: position, length: stepLength };
      const rows = await this.#turns.run(() => this.#db.read(() => this.#statements.stretch.all(range)));
      const now = this.#clock.now();
      for (const row of rows as unknown as LoginRecordRow[]) {
        if (logins.length === maxLogins) return { logins, cursor: position };
        position = row.digest;
        const matches = row.expiresAt > now && (principal === undefined || row.principal === principal);
        if (matches) logins.push(this.#recordOf(row));
      }
      if (rows.length < stepLength) return { logins };
    }
    return { logins, cursor: position };
  }

  async end(digests: readonly string[]): Promise<number> {
    return this.#db.transaction(() => {
      const now = this.#clock.now();
      const removed = digests.map((digest) => Number(this.#statements.delete.run({ digest, now }).changes));
      return removed.reduce((sum, count) => sum + count, 0);
    });
  }

  async addFailure(key: string, windowMs: number): Promise<Failures> {
    const digest = digestOf(key);
    return this.#db.transaction(() => {
      const now = this.#clock.now();
      this.#statements.purgeFailures.run({ now });
      const row = this.#statements.addFailure.get({ digest, now, windowMs });
      return { count: Number(row?.count), forgottenInMs: Number(row?.forgottenInMs) };
    });
  }

  async removeFailure(key: string): Promise<void> {
    const digest = digestOf(key);
    await this.#db.transaction(() => {
      this.#statements.forgetLastFailure.run({ digest });
      this.#statements.removeFailure.run({ digest });
    });
  }

  #recordOf({ roles, createdAt, lastUsedAt, expiresAt, ...row }: LoginRecordRow): LoginRecord {
    return {
      ...row,
      roles: parseRoles(roles),
      createdAt: this.#clock.wall(createdAt),
      lastUsedAt: this.#clock.wall(lastUsedAt),
      expiresAt: this.#clock.wall(expiresAt),
    };
  }
}
