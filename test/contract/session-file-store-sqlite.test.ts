import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SessionFileStore } from "../../src/domain/session-file-store.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import type { SqliteBackend } from "../../src/stores/sqlite/backend.ts";
import { callerNamed } from "../support/callers.ts";
import { clocksAt, openSqlite } from "../support/sqlite-backend.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { watch } from "./session-file-store-ends.ts";

const alice = callerNamed("alice");
const terms = { leaseMs: 100, retentionMs: 100 };
const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };

let dir: TempDir;
let path: string;
let backend: SqliteBackend;
let sessions: SessionStore;
let files: SessionFileStore;
let time: number;

function open(): void {
  backend = openSqlite(path, { leaseTerms: terms, clocks: clocksAt(() => time) });
  sessions = backend.sessions;
  files = backend.sessionFiles;
}

beforeEach(async () => {
  dir = await tempDir();
  path = join(dir.path, "sessions.db");
  time = 1_000_000;
  open();
});
afterEach(async () => {
  await backend[Symbol.asyncDispose]();
  await dir.remove();
});

/** As another program sees them. */
function rows(sql: string): unknown[] {
  const reader = new DatabaseSync(path, { readOnly: true });
  try {
    return reader.prepare(sql).all();
  } finally {
    reader.close();
  }
}

const fileRows = () => rows("SELECT session_id AS id, name FROM session_file ORDER BY session_id, name");

async function createWithFiles(id: string): Promise<void> {
  await sessions.create({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
  await files.request(id, alice, "a.vmdk", "HTTPS");
  await files.recordSent(id, new Map([["b.vmdk", 10]]));
}

describe("the rows of a session's files", () => {
  it("stay when it is canceled, kept alive or created again, and go when it is deleted", async () => {
    await createWithFiles("s-1");
    await createWithFiles("s-2");
    await sessions.keepAlive("s-1", alice, 50);
    await sessions.create({ id: "s-1", owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
    await sessions.finish("s-1", alice, "CANCELED");
    expect(fileRows()).toHaveLength(4);
    await sessions.delete("s-1", alice);
    expect(fileRows()).toEqual([
      { id: "s-2", name: "a.vmdk" },
      { id: "s-2", name: "b.vmdk" },
    ]);
  });

  it("go when its row is swept after its expiry", async () => {
    await createWithFiles("s-1");
    time += terms.leaseMs;
    expect(fileRows()).toHaveLength(2);
    await sessions.create({ id: "s-2", owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
    expect(rows("SELECT id FROM session")).toEqual([{ id: "s-2" }]);
    expect(fileRows()).toEqual([]);
  });

  it("go when its id is given to a new session before it was swept", async () => {
    // As many as a sweep looks at, and they stay alive.
    const living = Array.from({ length: 16 }, (_, index) => `living-${index}`);
    for (const id of living) await createWithFiles(id);
    await createWithFiles("s-1");
    time += terms.leaseMs - 1;
    for (const id of living) await sessions.keepAlive(id, alice);
    time += 1;
    await using later = openSqlite(path, { leaseTerms: terms, clocks: clocksAt(() => time) });
    await later.sessions.create({ id: "s-1", owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
    expect((await files.files("s-1", alice))!.files).toEqual(new Map());
    expect(fileRows()).toHaveLength(2 * living.length);
  });

  it("do not pile up", async () => {
    for (let index = 0; index < 500; index++) {
      time += 1;
      await createWithFiles(`s-${index}`);
    }
    // At any time 100 sessions are alive.
    expect(fileRows().length).toBeLessThan(240);
    expect(rows("SELECT * FROM session_file WHERE session_id NOT IN (SELECT id FROM session)")).toEqual([]);
  });

  it("survive that the file is closed and opened again", async () => {
    await createWithFiles("s-1");
    const before = await files.files("s-1", alice);
    await backend[Symbol.asyncDispose]();
    open();
    expect(await files.files("s-1", alice)).toEqual(before);
  });
});

describe("a session's files in SQLite", () => {
  it("are unavailable, never unknown, while another process has locked the file, and afterwards as they were", async () => {
    await createWithFiles("s-1");
    const before = await files.files("s-1", alice);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    await expect(files.request("s-1", alice, "c.vmdk", "HTTPS")).rejects.toMatchObject(unavailable);
    await expect(files.recordSent("s-1", new Map([["a.vmdk", 1]]))).rejects.toMatchObject(unavailable);
    expect(await files.files("s-1", alice), "reading needs no lock").toEqual(before);
    other.exec("ROLLBACK");
    other.close();
    expect(await files.files("s-1", alice)).toEqual(before);
    expect(await files.request("s-1", alice, "c.vmdk", "HTTPS")).toMatchObject({ outcome: "renewed" });
  });

  it("are changed as one step with the lease, or not at all", async () => {
    await createWithFiles("s-1");
    const before = await files.files("s-1", alice);
    time += 10;
    // A trigger that fails stands for a full disk, which a test can't make.
    const other = new DatabaseSync(path);
    other.exec("CREATE TRIGGER failing BEFORE UPDATE ON session BEGIN SELECT RAISE(ABORT, 'no room'); END");
    await expect(files.recordSent("s-1", new Map([["a.vmdk", 1]]))).rejects.toMatchObject(unavailable);
    await expect(files.request("s-1", alice, "c.vmdk", "HTTPS")).rejects.toMatchObject(unavailable);
    const kept = [
      ["a.vmdk", { requested: "HTTPS", requestedForMs: expect.any(Number), bytesSent: 0 }],
      ["b.vmdk", { bytesSent: 10 }],
    ] as const;
    expect(await files.files("s-1", alice)).toEqual({ ...before, files: new Map<string, object>(kept) });
    other.exec("DROP TRIGGER failing");
    other.close();
  });

  it("end reliably only where no other process can end a session", async () => {
    await using inMemory = openSqlite(":memory:");
    expect(watch(inMemory).isReliable).toBe(true);
    expect(watch(backend).isReliable).toBe(false);
  });

  it("end before the call that ends their session answers, and only when that is written down", async () => {
    const watching = watch(backend);
    await createWithFiles("s-1");
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    await expect(sessions.finish("s-1", alice, "CANCELED")).rejects.toMatchObject(unavailable);
    await expect(sessions.delete("s-1", alice)).rejects.toMatchObject(unavailable);
    expect(watching.ends).toEqual([]);
    other.exec("ROLLBACK");
    other.close();
    const finished = sessions.finish("s-1", alice, "CANCELED");
    expect(watching.ends).toEqual(["s-1"]);
    expect(await finished).toMatchObject({ outcome: "finished" });
  });
});
