import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { digestOf } from "../../src/domain/login.ts";
import { noRoles, rolesFrom } from "../../src/domain/roles.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteLoginStore } from "../../src/stores/sqlite/sqlite-login-store.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { callerNamed } from "../support/callers.ts";
import { clocksAt } from "../support/sqlite-backend.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newLogin } from "./logins.ts";

const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };
const terms = { idleMs: 60_000, lifetimeMs: 120_000 };
const additions = readdirSync(new URL("../../src/stores/sqlite/schema/", import.meta.url));

let dir: TempDir;
let path: string;
let time: number;
const clocks = clocksAt(() => time);
beforeEach(async () => {
  dir = await tempDir();
  path = join(dir.path, "downlease.db");
  time = 1_000_000;
});
afterEach(() => dir.remove());

/** The file as another program sees it. */
function rows(sql: string): Record<string, unknown>[] {
  const reader = new DatabaseSync(path, { readOnly: true });
  try {
    return reader.prepare(sql).all();
  } finally {
    reader.close();
  }
}

describe("login sessions in an SQLite file", () => {
  it("are found without a promise", async () => {
    const database = new SqliteDatabase(path, { clocks });
    const store = new SqliteLoginStore({ database, terms });
    const login = newLogin();
    const id = await store.open(login);
    expect(store.find(id)).toEqual({ ...login, createdAt: time, lastUsedAt: time });
    database.close();
  });

  it("are written when they are used, once a second at most", async () => {
    const database = new SqliteDatabase(path, { clocks });
    const store = new SqliteLoginStore({ database, terms });
    const openedAt = time;
    const id = await store.open(newLogin());
    const uses = "SELECT last_used_at AS usedAt, expires_at AS expiresAt FROM login";
    for (; time < openedAt + 1_000; time += 100) {
      expect(store.find(id)?.lastUsedAt).toBe(openedAt);
      expect(rows(uses)).toEqual([{ usedAt: openedAt, expiresAt: openedAt + terms.idleMs }]);
    }
    expect(store.find(id)?.lastUsedAt).toBe(openedAt + 1_000);
    expect(rows(uses)).toEqual([{ usedAt: openedAt + 1_000, expiresAt: openedAt + 1_000 + terms.idleMs }]);
    while (time < openedAt + terms.lifetimeMs - 1) {
      time = Math.min(time + 30_000, openedAt + terms.lifetimeMs - 1);
      expect(store.find(id)).toBeDefined();
    }
    expect(rows(uses)).toMatchObject([{ expiresAt: openedAt + terms.lifetimeMs }]);
    time++;
    expect(store.find(id)).toBeUndefined();
    database.close();
  });

  it("do not pile up when they are over, nor do failures that are forgotten", async () => {
    const database = new SqliteDatabase(path, { clocks });
    const store = new SqliteLoginStore({ database, terms: { idleMs: 100, lifetimeMs: 200 } });
    for (let turn = 0; turn < 1_000; turn++) {
      time += 1;
      await store.open(newLogin());
      await store.addFailure(`user ${turn}`, 100);
    }
    expect(rows("SELECT count(*) AS rows FROM login")).toEqual([{ rows: 100 }]);
    expect(rows("SELECT count(*) AS rows FROM login_failure")).toEqual([{ rows: 100 }]);
    database.close();
  });

  it("survive that the file is closed and opened again", async () => {
    const before = new SqliteDatabase(path, { clocks });
    const login = newLogin();
    const id = await new SqliteLoginStore({ database: before, terms }).open(login);
    before.close();
    const after = new SqliteDatabase(path, { clocks });
    expect(new SqliteLoginStore({ database: after, terms }).find(id)).toMatchObject(login);
    after.close();
  });

  it("are not kept by their identifiers", async () => {
    const database = new SqliteDatabase(path, { clocks });
    const store = new SqliteLoginStore({ database, terms });
    const id = await store.open(newLogin());
    await store.addFailure("mallory", 1_000);
    database.close();
    const content = readFileSync(path).toString("latin1");
    expect(content).toContain("a proof");
    expect(content).not.toContain(id);
    expect(content).not.toContain("mallory");
  });

  it("are found while a use can't be written, and unavailable, never unknown, when the file is closed", async () => {
    const database = new SqliteDatabase(path, { clocks });
    const store = new SqliteLoginStore({ database, terms });
    const id = await store.open(newLogin());
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    expect(store.find(id), "nothing is to be written yet").toBeDefined();
    const openedAt = time;
    time += 1_000;
    expect(store.find(id)).toMatchObject({ lastUsedAt: openedAt });
    await expect(store.open(newLogin())).rejects.toMatchObject(unavailable);
    await expect(store.addFailure("alice", 1_000)).rejects.toMatchObject(unavailable);
    other.exec("ROLLBACK");
    other.close();
    expect(store.find(id)).toMatchObject({ lastUsedAt: time });
    database.close();
    expect(() => store.find(id)).toThrow(expect.objectContaining(unavailable));
    await expect(store.close(id)).rejects.toMatchObject(unavailable);
    await expect(store.removeFailure("alice")).rejects.toMatchObject(unavailable);
  });
});

describe("an SQLite file of a former release", () => {
  /** As a release made it that had these parts of the schema. */
  function fileOfThen(parts: readonly string[]): DatabaseSync {
    const db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode = WAL");
    for (const part of parts) {
      const file = new URL(`../../src/stores/sqlite/schema/${part}.sql`, import.meta.url);
      db.exec(readFileSync(file, "utf8"));
    }
    db.exec(`PRAGMA application_id = 0x646c7365; PRAGMA user_version = ${parts.length}`);
    return db;
  }

  const id = "0123456789abcdef".repeat(2);

  it.each([
    [0, noRoles],
    [1, rolesFrom(["admin"])],
  ])("from before the role storage keeps its login sessions: admin %j", (admin, roles) => {
    const db = fileOfThen(["1-sessions", "2-logins"]);
    db.prepare(
      `INSERT INTO login (digest, principal, admin, proof, created_at, last_used_at, expires_at)
        VALUES (?, 'alice', ?, 'a proof', ?, ?, ?)`,
    ).run(digestOf(id), admin, time, time, time + 1_000);
    db.close();
    const database = new SqliteDatabase(path, { clocks });
    const store = new SqliteLoginStore({ database, terms });
    expect(store.find(id)).toMatchObject({ principal: "alice", roles, proof: "a proof" });
    database.close();
  });

  it.each([
    [0, 0, noRoles],
    [1, 0, rolesFrom(["admin"])],
    [0, 1, rolesFrom(["storage"])],
    [1, 1, rolesFrom(["admin", "storage"])],
  ])(
    "with a column for each role keeps its login sessions: admin %j, storage %j",
    async (admin, storage, roles) => {
      const db = fileOfThen(["1-sessions", "2-logins", "3-downloads"]);
      db.prepare(
        `INSERT INTO login (digest, principal, admin, storage, proof, created_at, last_used_at, expires_at)
        VALUES (?, 'alice', ?, ?, 'a proof', ?, ?, ?)`,
      ).run(digestOf(id), admin, storage, time, time, time + 1_000);
      db.close();
      const database = new SqliteDatabase(path, { clocks });
      const store = new SqliteLoginStore({ database, terms });
      const login = { principal: "alice", roles, proof: "a proof", createdAt: time, lastUsedAt: time };
      expect(store.find(id)).toEqual(login);
      const other = newLogin({ roles });
      expect(store.find(await store.open(other))).toMatchObject(other);
      database.close();
    },
  );
});

describe("an SQLite file of release 0.1.0", () => {
  /** As that release made it: nothing but the first part of the schema. */
  function fileOfThen(): void {
    const first = new URL("../../src/stores/sqlite/schema/1-sessions.sql", import.meta.url);
    const db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec(readFileSync(first, "utf8"));
    db.exec("PRAGMA application_id = 0x646c7365; PRAGMA user_version = 1");
    db.exec(`INSERT INTO session (id, owner, library_item_id, content_version, state, progress, expires_at)
      VALUES ('s-1', 'alice', 'item-1', 'v1', 'ACTIVE', 40, ${time + 1_000})`);
    db.close();
  }

  it("opens, keeps its sessions, and takes login sessions", async () => {
    fileOfThen();
    const database = new SqliteDatabase(path, { clocks });
    const sessions = new SqliteSessionStore({
      database,
      terms: { leaseMs: 1_000, retentionMs: 1_000 },
    });
    expect(await sessions.get("s-1", callerNamed("alice"))).toMatchObject({ progress: 40 });
    const store = new SqliteLoginStore({ database, terms });
    expect(store.find(await store.open(newLogin()))).toBeDefined();
    database.close();
    expect(rows("PRAGMA user_version")).toEqual([{ user_version: additions.length }]);
    expect(rows("SELECT owner, sessions FROM session_count")).toEqual([{ owner: "alice", sessions: 1 }]);
    new SqliteDatabase(path, { clocks }).close();
  });

  it("can be opened by several at once", async () => {
    fileOfThen();
    const databases = Array.from({ length: 4 }, () => new SqliteDatabase(path, { clocks }));
    for (const database of databases) await database.probe();
    for (const database of databases) database.close();
  });
});
