import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SqliteBackend } from "../../src/stores/sqlite/backend.ts";
import { callerNamed } from "../support/callers.ts";
import { openSqlite } from "../support/sqlite-backend.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const alice = callerNamed("alice");
const spec = (id: string) => ({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };
/** Callers are promised an answer within a second; the other second is for a slow machine. */
const answerBoundMs = 2_000;

let dir: TempDir;
let backend: SqliteBackend;
let other: DatabaseSync;
beforeEach(async () => {
  dir = await tempDir();
  const path = join(dir.path, "sessions.db");
  backend = openSqlite(path);
  await backend.sessions.create(spec("s-1"));
  other = new DatabaseSync(path);
});
afterEach(async () => {
  other.close();
  await backend[Symbol.asyncDispose]();
  await dir.remove();
});

describe("while another process holds the lock of an SQLite file", () => {
  it("all callers wait together, and are answered within a second", async () => {
    other.exec("BEGIN IMMEDIATE");
    const startedAt = performance.now();
    const calls = Array.from({ length: 12 }, () => backend.sessions.keepAlive("s-1", alice));
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ status: "rejected", reason: unavailable });
    }
    expect(performance.now() - startedAt).toBeLessThan(answerBoundMs);
  });

  it("the process goes on with other work", async () => {
    other.exec("BEGIN IMMEDIATE");
    const keptAlive = backend.sessions.keepAlive("s-1", alice).catch((error: unknown) => error);
    let isAnswered = false;
    void keptAlive.then(() => {
      isAnswered = true;
    });
    let turns = 0;
    while (!isAnswered) {
      await delay(10);
      expect(await backend.sessions.get("s-1", alice), "reading needs no lock").toBeDefined();
      turns++;
    }
    expect(await keptAlive).toMatchObject(unavailable);
    expect(turns).toBeGreaterThan(5);
  });

  it("later callers do not wait once more", async () => {
    other.exec("BEGIN IMMEDIATE");
    await expect(backend.sessions.create(spec("s-2"))).rejects.toMatchObject(unavailable);
    const startedAt = performance.now();
    for (let turn = 0; turn < 20; turn++) {
      await expect(backend.sessions.keepAlive("s-1", alice)).rejects.toMatchObject(unavailable);
    }
    expect(performance.now() - startedAt).toBeLessThan(answerBoundMs);
  });

  it("the store says that no session could be created", async () => {
    other.exec("BEGIN IMMEDIATE");
    await expect(backend.probe()).rejects.toMatchObject({
      ...unavailable,
      cause: { message: "database is locked" },
    });
    other.exec("ROLLBACK");
    await backend.probe();
  });

  it("calls are done in their order when it is released in time", async () => {
    other.exec("BEGIN IMMEDIATE");
    const calls = [
      backend.sessions.keepAlive("s-1", alice, 10),
      backend.sessions.create(spec("s-2")),
      backend.sessions.keepAlive("s-1", alice, 20),
      backend.sessions.finish("s-1", alice, "CANCELED"),
      backend.sessions.keepAlive("s-1", alice, 30),
      backend.sessions.delete("s-2", alice),
    ] as const;
    await delay(50);
    other.exec("ROLLBACK");
    expect(await Promise.all(calls)).toMatchObject([
      { outcome: "renewed", progress: 10 },
      { id: "s-2" },
      { outcome: "renewed", progress: 20 },
      { outcome: "finished" },
      { outcome: "not_active" },
      true,
    ]);
  });

  it("one that is held a second time is waited for again", async () => {
    other.exec("BEGIN IMMEDIATE");
    await expect(backend.sessions.create(spec("s-2"))).rejects.toMatchObject(unavailable);
    other.exec("ROLLBACK");
    await backend.sessions.create(spec("s-2"));
    other.exec("BEGIN IMMEDIATE");
    const created = backend.sessions.create(spec("s-3"));
    await delay(50);
    other.exec("ROLLBACK");
    expect(await created).toMatchObject({ id: "s-3" });
  });

  it("calls that wait are unavailable when the store is closed", async () => {
    other.exec("BEGIN IMMEDIATE");
    const kept = backend.sessions.keepAlive("s-1", alice);
    await backend[Symbol.asyncDispose]();
    await expect(kept).rejects.toMatchObject(unavailable);
  });
});
