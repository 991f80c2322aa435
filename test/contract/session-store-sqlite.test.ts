import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import { clocksAt, openSqlite } from "../support/sqlite-backend.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { expectInOrder, type Observation } from "./session-store-concurrency.ts";

const alice = callerNamed("alice");
const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };

let dir: TempDir;
let path: string;
beforeEach(async () => {
  dir = await tempDir();
  path = join(dir.path, "sessions.db");
});
afterEach(() => dir.remove());

const spec = (id: string) => ({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });

describe("an SQLite file", () => {
  it("keeps its sessions when it is closed and opened again", async () => {
    const before = openSqlite(path);
    await before.sessions.create(spec("s-1"));
    await before.sessions.keepAlive("s-1", alice, 50);
    const session = await before.sessions.get("s-1", alice);
    await before[Symbol.asyncDispose]();
    expect(await readdir(dir.path), "the log is moved into the file").toEqual(["sessions.db"]);

    await using after = openSqlite(path);
    expect(await after.sessions.get("s-1", alice)).toEqual(session);
  });

  it("is refused, and left as it is, when it is no database", async () => {
    await writeFile(path, "a letter to my aunt ".repeat(500));
    const before = await readFile(path);
    expect(() => openSqlite(path)).toThrow(/sessions\.db'.*not a database/);
    expect(await readFile(path)).toEqual(before);
    expect(await readdir(dir.path)).toEqual(["sessions.db"]);
  });

  it.each([
    ["tables", "CREATE TABLE recipes (name TEXT)"],
    ["mark", "PRAGMA application_id = 42"],
  ])("is refused, and left as it is, when it has another program's %s", async (_, sql) => {
    const other = new DatabaseSync(path);
    other.exec(sql);
    other.close();
    const before = await readFile(path);
    expect(() => openSqlite(path)).toThrow(/another program/);
    expect(await readFile(path)).toEqual(before);
    expect(await readdir(dir.path)).toEqual(["sessions.db"]);
  });

  it("is refused when its schema is of a newer release", async () => {
    await openSqlite(path)[Symbol.asyncDispose]();
    const newer = new DatabaseSync(path);
    newer.exec("PRAGMA user_version = 1000");
    newer.close();
    expect(() => openSqlite(path)).toThrow(/schema has version 1000/);
  });

  it.each([
    ["a folder that does not exist", "no/such.db", "no such directory: DIR/no"],
    ["a folder that is a file", "letter/such.db", "not a directory: DIR/letter"],
    ["a folder in its place", "folder", "it is a directory"],
  ])("that can't be created is named in the error, and %s is the cause", async (_, name, cause) => {
    await writeFile(join(dir.path, "letter"), "");
    await mkdir(join(dir.path, "folder"));
    const file = join(dir.path, name);
    expect(() => openSqlite(file)).toThrow(
      `SQLite file '${file}' can't be used: ${cause.replace("DIR", dir.path)}`,
    );
  });

  it.skipIf(process.getuid?.() === 0)(
    "in a folder that can't be written is refused, and the folder is named in the error",
    async () => {
      await chmod(dir.path, 0o555);
      expect(() => openSqlite(path)).toThrow(
        `SQLite file '${path}' can't be used: access is denied: ${dir.path}`,
      );
    },
  );

  it("answers unavailable while another process has locked it, and works again afterwards", async () => {
    await using backend = openSqlite(path);
    const store = backend.sessions;
    await store.create(spec("s-1"));
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    await expect(store.keepAlive("s-1", alice)).rejects.toMatchObject(unavailable);
    await expect(store.create(spec("s-2"))).rejects.toMatchObject(unavailable);
    expect(await store.get("s-1", alice), "reading needs no lock").toMatchObject({ id: "s-1" });
    other.exec("ROLLBACK");
    other.close();
    expect(await store.keepAlive("s-1", alice)).toMatchObject({ outcome: "renewed" });
    expect(await store.create(spec("s-2"))).toMatchObject({ id: "s-2" });
  });

  it("answers unavailable when SQLite fails within a change, which is undone, and works again afterwards", async () => {
    await using backend = openSqlite(path);
    const store = backend.sessions;
    await store.create(spec("s-1"));
    // A trigger that fails stands for a full disk, which a test can't make.
    const other = new DatabaseSync(path);
    other.exec("CREATE TRIGGER failing BEFORE INSERT ON session BEGIN SELECT RAISE(ABORT, 'no room'); END");
    await expect(store.create(spec("s-2"))).rejects.toMatchObject(unavailable);
    expect(await store.list("alice")).toEqual(["s-1"]);
    other.exec("DROP TRIGGER failing");
    other.close();
    await store.create(spec("s-2"));
    expect(await store.list("alice")).toEqual(["s-1", "s-2"]);
  });

  it("does not grow with sessions that have expired", async () => {
    let time = 1_000_000;
    const leaseTerms = { leaseMs: 100, retentionMs: 100 };
    await using backend = openSqlite(path, { leaseTerms, clocks: clocksAt(() => time) });
    const store = backend.sessions;
    const reader = new DatabaseSync(path);
    const count = reader.prepare("SELECT count(*) AS rows FROM session");
    for (let created = 0; created < 2_000; created++) {
      time += 1;
      await store.create(spec(`s-${created}`));
    }
    // At any time 100 are alive.
    expect(count.get()?.rows).toBeLessThan(120);
    expect(await store.list("alice")).toHaveLength(100);
    reader.close();
  });

  it("counts for the quota what is alive, wherever the expired rows are, and gives their ids to new sessions", async () => {
    let time = 1_000_000;
    const leaseTerms = { leaseMs: 100, retentionMs: 100, maxSessionsPerPrincipal: 3 };
    const open = () => openSqlite(path, { leaseTerms, clocks: clocksAt(() => time) });
    await using backend = open();
    // Its sweep of expired rows begins with those of others.
    await using later = open();
    let store = backend.sessions;
    const others = async () => {
      for (let n = 0; n < 100; n++) await store.create({ ...spec(crypto.randomUUID()), owner: `owner ${n}` });
    };
    await others();
    for (const id of ["s-1", "s-2", "s-3"]) await store.create(spec(id));
    const bobs = { ...spec("b-1"), owner: "bob" };
    await store.create(bobs);
    await others();
    await expect(store.create(spec("s-4"))).rejects.toMatchObject({
      messageId: "downlease.session.too_many",
    });
    time += 50;
    await store.keepAlive("s-3", alice);
    time += 50;
    store = later.sessions;
    await store.create(bobs);
    await store.create(spec("s-2"));
    await store.create(spec("s-4"));
    expect(await store.list("alice")).toEqual(["s-3", "s-2", "s-4"]);
    await expect(store.create(spec("s-5"))).rejects.toMatchObject({
      messageId: "downlease.session.too_many",
    });
    const reader = new DatabaseSync(path);
    const rows = "SELECT owner, count(*) AS sessions FROM session GROUP BY owner ORDER BY owner";
    const counted = "SELECT owner, sessions FROM session_count ORDER BY owner";
    expect(reader.prepare(counted).all()).toEqual(reader.prepare(rows).all());
    reader.close();
  });

  it("keeps the promises of keep-alive and cancel between processes", async () => {
    await using backend = openSqlite(path);
    const store = backend.sessions;
    const { id } = await store.create(spec("s-1"));
    const script = fileURLToPath(new URL("session-store-sqlite-client.ts", import.meta.url));
    const clients = await Promise.all(
      [1, 2, 3].map(() => startProcess(process.execPath, [script, path, id, alice.principal])),
    );
    try {
      await eventually(
        "the processes to make progress",
        async () => ((await store.get(id, alice))?.progress ?? 0) >= 20,
      );
      await eventually("a turn to cancel", () => store.finish(id, alice, "CANCELED"));
      const canceledAt = Number(process.hrtime.bigint()) / 1e6;
      const exits = await Promise.all(clients.map(({ exited }) => exited));
      expect(exits, clients.map(({ stderr }) => stderr).join("")).toEqual(
        clients.map(() => ({ code: 0, signal: null })),
      );
      const observations = clients.flatMap(({ stdout }) => JSON.parse(stdout) as Observation[]);
      expectInOrder(observations, canceledAt);
    } finally {
      await Promise.all(clients.map((client) => client.kill()));
    }
  });

  it("can be created by several processes at once", async () => {
    const script = `
      import { clocksAt, openSqlite } from ${JSON.stringify(new URL("../support/sqlite-backend.ts", import.meta.url).href)};
      await using backend = openSqlite(${JSON.stringify(path)});
      await backend.sessions.create({ id: String(process.pid), owner: "alice", libraryItemId: "i", contentVersion: "v" });`;
    const openers = await Promise.all(
      [1, 2, 3, 4].map(() => startProcess(process.execPath, ["--input-type=module", "--eval", script])),
    );
    for (const opener of openers)
      expect(await opener.exited, opener.stderr).toEqual({ code: 0, signal: null });
    await using backend = openSqlite(path);
    const store = backend.sessions;
    expect(new Set(await store.list("alice"))).toEqual(new Set(openers.map(({ pid }) => String(pid))));
  });
});
