import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pino } from "pino";
import { expect, test } from "vitest";
import { readConfig } from "../../src/app/config.ts";
import { startApp } from "../../src/app/start.ts";
import { StartError } from "../../src/app/start-error.ts";
import { tempDir } from "../support/temp-dir.ts";

const logger = pino({ level: "silent" });

test("a start that fails half-way closes what was opened", async () => {
  await using dir = await tempDir();
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as AddressInfo;
  const sqlitePath = join(dir.path, "sessions.db");
  const config = readConfig({ port: String(port), sqlitePath, contentRoot: dir.path }, {});
  await expect(startApp(config, { logger })).rejects.toThrow(StartError);
  expect(existsSync(sqlitePath)).toBe(true);
  // SQLite removes its log when the last connection is closed.
  expect(existsSync(`${sqlitePath}-wal`)).toBe(false);
  other.close();
});

test("a stop closes everything, and every call of it returns the same promise", async () => {
  await using dir = await tempDir();
  const sqlitePath = join(dir.path, "sessions.db");
  const app = await startApp(readConfig({ port: "0", sqlitePath, contentRoot: dir.path }, {}), { logger });
  expect(existsSync(`${sqlitePath}-wal`)).toBe(true);
  expect(app.stop()).toBe(app.stop());
  await app.stop();
  expect(existsSync(`${sqlitePath}-wal`)).toBe(false);
});
