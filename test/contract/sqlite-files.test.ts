import { chmod, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SqliteBackend } from "../../src/stores/sqlite/backend.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { callerNamed } from "../support/callers.ts";
import { openSqlite } from "../support/sqlite-backend.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const alice = callerNamed("alice");
const spec = (id: string) => ({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });
const unavailable = { name: "ServiceError", messageId: "downlease.store.unavailable" };

let dir: TempDir;
let path: string;
let backend: SqliteBackend;
beforeEach(async () => {
  dir = await tempDir();
  path = join(dir.path, "sessions.db");
  backend = openSqlite(path);
  await backend.sessions.create(spec("s-1"));
});
afterEach(async () => {
  await backend[Symbol.asyncDispose]();
  await dir.remove();
});

async function expectUnavailable(cause: string): Promise<void> {
  await expect(backend.probe()).rejects.toMatchObject({ ...unavailable, cause: { message: cause } });
  const { sessions, sessionFiles, logins } = backend;
  for (const call of [
    () => sessions.create(spec("s-2")),
    () => sessions.get("s-1", alice),
    () => sessions.list("alice"),
    () => sessions.keepAlive("s-1", alice),
    () => sessions.keepAliveMany([{ id: "s-1" }], alice),
    () => sessions.finish("s-1", alice, "CANCELED"),
    () => sessions.delete("s-1", alice),
    () => sessionFiles.files("s-1", alice),
    async () => logins.find("0".repeat(32)),
  ]) {
    await expect(call()).rejects.toMatchObject(unavailable);
  }
}

describe("an SQLite file", () => {
  it("that was deleted is noticed, and nothing is acknowledged any more", async () => {
    await rm(path);
    await expectUnavailable(`${path} was deleted; put it back, or restart the service`);
  });

  it("whose log was deleted is noticed, and nothing is acknowledged any more", async () => {
    await rm(`${path}-wal`);
    await expectUnavailable(`${path}-wal was deleted; put it back, or restart the service`);
  });

  it("that was replaced is noticed, and nothing is acknowledged any more", async () => {
    await rename(path, `${path}.old`);
    await writeFile(path, "");
    await expectUnavailable(`${path} was replaced by another file; put it back, or restart the service`);
  });

  it("that is put back serves on", async () => {
    await rename(path, `${path}.old`);
    await expectUnavailable(`${path} was deleted; put it back, or restart the service`);
    await rename(`${path}.old`, path);
    await backend.probe();
    expect(await backend.sessions.keepAlive("s-1", alice)).toMatchObject({ outcome: "renewed" });
  });

  it("in which nothing can be written is noticed, and serves on when it can", async () => {
    // A trigger that fails stands for a full disk, which this test can't make.
    const other = new DatabaseSync(path);
    other.exec(
      "CREATE TRIGGER failing BEFORE INSERT ON sign_of_life BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    await expect(backend.probe()).rejects.toMatchObject({ ...unavailable, cause: { message: "no room" } });
    other.exec("DROP TRIGGER failing");
    await backend.probe();
    other.close();
  });

  it("is tried with as much as a session takes after a write has failed, until that succeeds", async () => {
    const other = new DatabaseSync(path);
    const padding = other.prepare("SELECT coalesce(length(padding), 0) AS bytes FROM sign_of_life");
    other.exec("CREATE TRIGGER failing BEFORE INSERT ON session BEGIN SELECT RAISE(ABORT, 'no room'); END");
    await backend.probe();
    expect(padding.get()).toEqual({ bytes: 0 });
    await expect(backend.sessions.create(spec("s-2"))).rejects.toMatchObject(unavailable);
    await backend.probe();
    expect(padding.get()?.bytes).toBeGreaterThan(10_000);
    await backend.probe();
    expect(padding.get()).toEqual({ bytes: 0 });
    other.close();
  });
});

describe("the rights of an SQLite file", () => {
  const files = (file: string) => [file, `${file}-wal`, `${file}-shm`];
  const modes = (file: string) =>
    Promise.all(files(file).map(async (each) => ((await stat(each)).mode & 0o777).toString(8)));
  let umask: number;
  beforeEach(() => {
    umask = process.umask(0);
  });
  afterEach(() => {
    process.umask(umask);
  });

  it("are its user's only, also of its log and its shared memory, whatever the umask is", async () => {
    const file = join(dir.path, "new.db");
    await using opened = openSqlite(file);
    await opened.sessions.create(spec("s-1"));
    expect(await modes(file)).toEqual(["600", "600", "600"]);
  });

  it("are the same at the end of links that lead to nothing yet", async () => {
    const file = join(dir.path, "new.db");
    await symlink("new.db", join(dir.path, "link.db"));
    await symlink("link.db", join(dir.path, "link-to-link.db"));
    await using opened = openSqlite(join(dir.path, "link-to-link.db"));
    await opened.sessions.create(spec("s-1"));
    expect(await modes(file)).toEqual(["600", "600", "600"]);
  });

  it("stay as somebody has set them, with a warning that names the file and the command", async () => {
    await backend[Symbol.asyncDispose]();
    await chmod(path, 0o640);
    const logged = async () => {
      const warnings: string[] = [];
      const log = pino({ level: "warn" }, { write: (line: string) => warnings.push(JSON.parse(line).msg) });
      new SqliteDatabase(path, { log }).close();
      return warnings;
    };
    expect(await logged()).toEqual([]);
    await chmod(path, 0o644);
    const warning = (file: string) =>
      `everybody on this machine can read sessions and the key of links in ${file}: chmod o-rw ${file}`;
    expect(await logged()).toEqual([warning(path), warning(`${path}-wal`)]);
    expect(((await stat(path)).mode & 0o777).toString(8)).toBe("644");
  });
});
