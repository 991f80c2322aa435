import { rename } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type LogLine, type Service, startService } from "../support/service.ts";
import { smallDisk } from "../support/small-disk.ts";
import { writeSmallLibrary } from "../support/small-library.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let dir: TempDir;
let service: Service;

beforeEach(async () => {
  dir = await tempDir();
  await writeSmallLibrary(dir.path);
});
afterEach(async () => {
  await service?.kill();
  await dir.remove();
});

async function start(sqlitePath: string, ...flags: string[]): Promise<void> {
  const library = join(dir.path, "library");
  service = await startService(["--sqlite-path", sqlitePath, "--content-root", library, ...flags]);
}

async function call(method: string, request: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${service.url}/content.library.item.v1.DownloadSessionService/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  return (await response.json()) as Record<string, unknown>;
}

const create = () => call("Create", { createSpec: { libraryItemId: "item-1" } });
const statusOf = async (path: string) => (await fetch(`${service.url}${path}`)).status;
const readiness = (): readonly LogLine[] =>
  service.logs.filter(({ msg }) => /^(not ready|ready again): /.test(String(msg)));

/** Five seconds are promised; the rest is for a slow machine. */
const noticed = { withinMs: 10_000 };

async function expectNotReady(cause: string): Promise<void> {
  await eventually("the service not to be ready", async () => (await statusOf("/readyz")) === 503, noticed);
  const warning = expect.stringContaining(`not ready: no session can be stored: ${cause}`);
  // The log of another process arrives by itself.
  await eventually("the warning", () => {
    expect(readiness()).toMatchObject([{ level: "warn", msg: warning }]);
    return true;
  });
  expect(await create()).toMatchObject({ code: "unavailable" });
  expect(await statusOf("/healthz")).toBe(200);
}

async function expectReadyAgain(): Promise<void> {
  await eventually("the service to be ready", async () => (await statusOf("/readyz")) === 200, noticed);
  await eventually("the end of the warning", () => {
    expect(readiness()).toMatchObject([{}, { level: "info", msg: "ready again: sessions can be stored" }]);
    return true;
  });
  expect(await create()).toHaveProperty("downloadSessionId");
}

it("a deleted database file makes the service not ready, and ready again when it is put back", async () => {
  const path = join(dir.path, "sessions.db");
  await start(path);
  const { downloadSessionId } = await create();
  await rename(path, `${path}.old`);
  await expectNotReady(`${path} was deleted; put it back, or restart the service`);
  await rename(`${path}.old`, path);
  await expectReadyAgain();
  expect(await call("Get", { downloadSessionId })).toHaveProperty("downloadSession");
});

it("a database file that is replaced by a backup makes the service not ready, and a restart serves from the backup", async () => {
  const path = join(dir.path, "sessions.db");
  await start(path);
  const { downloadSessionId: saved } = await create();
  const reader = new DatabaseSync(path);
  reader.exec(`VACUUM INTO '${path}.backup'`);
  reader.close();
  const { downloadSessionId: later } = await create();
  await rename(`${path}.backup`, path);
  await expectNotReady(`${path} was replaced by another file; put it back, or restart the service`);
  // What the log of the old file still held would be written into the new one.
  await service.kill();
  await start(path);
  expect(await call("Get", { downloadSessionId: saved })).toHaveProperty("downloadSession");
  expect(await call("Get", { downloadSessionId: later })).toMatchObject({ code: "not_found" });
  expect(await create()).toHaveProperty("downloadSessionId");
});

it("a full disk makes the service not ready, and ready again when there is room", async ({ skip }) => {
  await using disk = await smallDisk(512 * 1024);
  if (disk.prefix.length > 0) skip("no file system can be mounted");
  await start(join(disk.path, "sessions.db"));
  let isFull = false;
  for (let created = 0; !isFull && created < 20_000; created++) isFull = "code" in (await create());
  expect(isFull).toBe(true);
  await expectNotReady("database or disk is full");
  disk.enlarge(8 * 1024 * 1024);
  await expectReadyAgain();
  await service.kill();
});

it("a lock that another process holds stops no other call, and nobody waits for it longer than a second", async () => {
  const path = join(dir.path, "sessions.db");
  await start(path);
  const { downloadSessionId } = await create();
  const other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  const timed = async <T>(work: Promise<T>) => {
    const startedAt = performance.now();
    return { result: await work, ms: performance.now() - startedAt };
  };
  const calls = Array.from({ length: 12 }, () => timed(call("KeepAlive", { downloadSessionId })));
  await delay(100);
  const health = await timed(statusOf("/healthz"));
  const read = await timed(call("Get", { downloadSessionId }));
  const answers = await Promise.all(calls);
  expect(answers.map(({ result }) => result.code)).toEqual(answers.map(() => "unavailable"));
  // A second is promised; before, they waited half a second each, one after the other.
  expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(3_000);
  expect(health.result).toBe(200);
  expect(read.result).toHaveProperty("downloadSession");
  expect(Math.max(health.ms, read.ms), "answered while the others wait").toBeLessThan(
    Math.min(...answers.map(({ ms }) => ms)),
  );
  await expectNotReady("database is locked");
  other.exec("ROLLBACK");
  other.close();
  await expectReadyAgain();
});
