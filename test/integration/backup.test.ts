import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { startTestApp } from "../support/app.ts";
import { runCommand, startCommand } from "../support/command.ts";
import { methodClients } from "../support/method-clients.ts";
import { tempDir } from "../support/temp-dir.ts";

const { create, keepAlive, list } = DownloadSessionService.method;
/** So many that a backup takes several steps. */
const padding = 48 * 1024 * 1024;

const flags = (sqlitePath: string) => ["--sqlite-path", sqlitePath, "--json"];

test("a backup of a file that is served from has every session, and a service starts on it", async () => {
  await using directory = await tempDir();
  const [path, copy] = [join(directory.path, "sessions.db"), join(directory.path, "copy.db")];
  const app = await startTestApp({ settings: { sqlitePath: path } });
  const itemId = await app.addItem();
  const call = methodClients.gRPC!(app.url);
  const model = { create_spec: { library_item_id: itemId } };
  const created = await Promise.all(Array.from({ length: 20 }, () => call(create, model)));
  const ids = created.map((id) => String(id));
  {
    using db = new DatabaseSync(path, { timeout: 5_000 });
    db.exec(`CREATE TABLE padding (bytes BLOB); INSERT INTO padding VALUES (zeroblob(${padding}))`);
  }
  let heartbeats = 0;
  const command = startCommand(["backup", copy, "--sqlite-path", path], { isTerminal: true });
  const backup = command.ended;
  // Each of them writes, which must neither hold up the copy nor be held up by it.
  while (command.code === undefined) {
    await call(keepAlive, {
      download_session_id: ids[heartbeats++ % ids.length]!,
      progress: heartbeats % 100,
    });
  }
  const { code, stdout, stderr } = await backup;
  expect([code, stderr]).toEqual([0, ""]);
  const progress = stdout.split("\r");
  expect(progress.slice(1, -1).every((line) => /^\d+ % copied$/.test(line))).toBe(true);
  expect(progress.length).toBeGreaterThan(4);
  expect(progress.at(-1)).toMatch(/copy\.db {2}4\d\.?\d* MiB\n$/);
  expect(heartbeats).toBeGreaterThan(5);
  expect((await stat(copy)).mode & 0o777).toBe(0o600);
  expect((await readdir(directory.path)).toSorted()).toEqual([
    "copy.db",
    "sessions.db",
    "sessions.db-shm",
    "sessions.db-wal",
  ]);
  await app.stop();

  const restored = await startTestApp({ settings: { sqlitePath: copy } });
  try {
    const found = await methodClients.gRPC!(restored.url)(list, {});
    expect((found as string[]).toSorted()).toEqual(ids.toSorted());
  } finally {
    await restored.stop();
  }
});

test("a backup takes no other file's place, and leaves nothing behind when it fails", async () => {
  await using directory = await tempDir();
  const [path, copy] = [join(directory.path, "sessions.db"), join(directory.path, "copy.db")];
  const failure = async (...args: string[]) => {
    const { code, stderr } = await runCommand(["backup", ...args]);
    return `${code} ${stderr.replaceAll(directory.path, "D").trimEnd()}`;
  };
  expect(await failure(copy, ...flags(path))).toBe(
    "7 downlease: SQLite file 'D/sessions.db' can't be used: it does not exist",
  );
  await writeFile(path, "text");
  expect(await failure(copy, ...flags(path))).toMatch(/^7 .*file is not a database$/);
  const db = join(directory.path, "right.db");
  await (await startTestApp({ settings: { sqlitePath: db } })).stop();
  await writeFile(copy, "precious");
  expect(await failure(copy, ...flags(db))).toBe(
    "7 downlease: D/copy.db exists; a backup takes no other file's place",
  );
  expect(await failure(join(directory.path, "no/copy.db"), ...flags(db))).toBe(
    "7 downlease: D/no/copy.db can't be written: no such directory: D/no",
  );
  expect(await readFile(copy, "utf8")).toBe("precious");
  expect((await readdir(directory.path)).toSorted()).toEqual(["copy.db", "right.db", "sessions.db"]);
  expect(await failure(copy, "--redis-url", "redis://host")).toMatch(/^2 .*redis-cli BGSAVE/);
  expect(await failure(copy, ...flags(":memory:"))).toMatch(/^7 .*in memory/);
  expect(await failure(copy, "--port", "x")).toMatch(/^2 .*configuration is wrong:\n {2}--port must/);
});
