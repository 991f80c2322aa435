import { chmod, readFile, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startService } from "../support/service.ts";
import { tempDir } from "../support/temp-dir.ts";

const usec = 1e6;

test("a service manager is notified of start, life, reload and stop", async () => {
  await using directory = await tempDir();
  const notified = join(directory.path, "notified");
  const notify = join(directory.path, "systemd-notify");
  await writeFile(notify, `#!/bin/sh\necho "$@" >>'${notified}'\n`);
  await chmod(notify, 0o755);
  const states = async () => (await readFile(notified, "utf8").catch(() => "")).trim().split("\n");

  await using service = await startService(["--workers", "2", "--grace-seconds", "7"], {
    PATH: [directory.path, process.env.PATH].join(delimiter),
    DOWNLEASE_SQLITE_PATH: join(directory.path, "downlease.db"),
    NOTIFY_SOCKET: "@downlease-test",
    WATCHDOG_USEC: String(0.2 * usec),
  });
  await eventually("signs of life", async () => (await states()).includes("WATCHDOG=1"));
  expect((await states())[0]).toBe("READY=1");
  process.kill(service.pid, "SIGHUP");
  await eventually("the end of the reload", async () => (await states()).lastIndexOf("READY=1") > 0, {
    withinMs: 20_000,
  });
  expect(await states()).toContainEqual(expect.stringMatching(/^RELOADING=1 MONOTONIC_USEC=\d+$/));
  expect(await service.stop()).toMatchObject({ code: 0 });
  const lines = await states();
  const [, extension] = /^STOPPING=1 EXTEND_TIMEOUT_USEC=(\d+)$/.exec(lines.at(-1)!) ?? [];
  expect(Number(extension)).toBeGreaterThan(7 * usec);
  expect(lines.filter((line) => line.startsWith("STOPPING")).length).toBe(1);
});

test("a service that can't notify says so, once, and serves", async () => {
  await using directory = await tempDir();
  await symlink("/bin/sh", join(directory.path, "sh"));
  await using service = await startService([], {
    // Nothing is there but a shell.
    PATH: directory.path,
    NOTIFY_SOCKET: "@downlease-test",
    WATCHDOG_USEC: String(0.1 * usec),
  });
  const complaint = "the service manager can't be notified: systemd-notify is not installed";
  await eventually("the complaint", () => service.output.includes(complaint));
  expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
  await service.stop();
  expect(service.output.split(complaint).length).toBe(2);
});
