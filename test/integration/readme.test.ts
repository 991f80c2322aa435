import { mkdir, readdir, rm, symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mainPath } from "../support/command.ts";
import { readSection, runSteps, stepsOf } from "../support/pages.ts";
import { freePort } from "../support/ports.ts";
import { startRedis } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Where the commands of the README download to. */
const downloads = join(import.meta.dirname, "../../downloads");

let service: Service;
let withShortLease: Service;
beforeAll(async () => {
  [service, withShortLease] = await Promise.all([startService([]), startService(["--lease-seconds", "3"])]);
});
afterAll(() =>
  Promise.all([service?.stop(), withShortLease?.stop(), rm(downloads, { recursive: true, force: true })]),
);

test.each([
  ["README.md", 8],
  ["docs/rpc.md", 2],
  ["docs/library.md", 6],
  ["docs/json-rpc.md", 3],
])("every command of %s does what is printed there", { timeout: 60_000 }, async (page, minSteps) => {
  const steps = stepsOf(readSection(page));
  expect(steps.length).toBeGreaterThanOrEqual(minSteps);
  // The README says so where it waits for a lease to end.
  await runSteps(steps, ({ commands }) => (commands.includes("sleep") ? withShortLease : service).port);
});

test("every command of docs/cli.md runs", { timeout: 60_000 }, async () => {
  await using directory = await tempDir();
  const [programs, settings] = [join(directory.path, "bin"), join(directory.path, "settings")];
  await mkdir(programs);
  await symlink(mainPath, join(programs, "downlease"));
  const steps = stepsOf(readSection("docs/cli.md"));
  expect(steps.length).toBeGreaterThanOrEqual(6);
  await runSteps(steps, () => service.port, {
    ...process.env,
    PATH: [programs, process.env.PATH].join(delimiter),
    XDG_CONFIG_HOME: settings,
    XDG_STATE_HOME: settings,
  });
});

test("every command of docs/operations.md does what is printed there", { timeout: 60_000 }, async () => {
  await using directory = await tempDir();
  const [port, redis] = [await freePort(), await startRedis()];
  await symlink(mainPath, join(directory.path, "downlease"));
  const steps = stepsOf(readSection("docs/operations.md"));
  expect(steps).toHaveLength(3);
  const inDirectory = steps.map(({ commands, answer }) => ({
    commands: `trap 'kill -9 $(jobs -p) || true' EXIT\n${commands}`
      .replace("127.0.0.1:6379", `127.0.0.1:${redis.port}`)
      .replace("backup.rdb", '"$TMPDIR/backup.rdb"'),
    answer,
  }));
  try {
    // Each by itself: one makes variables for itself only.
    for (const step of inDirectory) {
      await runSteps([step], () => port, {
        ...process.env,
        PATH: [directory.path, process.env.PATH].join(delimiter),
        TMPDIR: directory.path,
        ...(step.answer === "" && { DOWNLEASE_PORT: String(port), DOWNLEASE_ADMIN_LISTEN: "off" }),
      });
    }
    expect(await readdir(directory.path)).toContain("backup.rdb");
  } finally {
    await redis.stop();
  }
});

test("the server of the download in docs/downloads.md is killed and started again", {
  timeout: 120_000,
}, async () => {
  await using directory = await tempDir();
  const port = await freePort();
  const [story] = stepsOf(readSection("docs/downloads.md", "When the server is killed"));
  const smaller = story!.commands.replace("2147483648", "134217728").replace("500000k", "1000k");
  // Leaves no process behind, also when it fails.
  const commands = `trap 'kill -9 $(jobs -p) || true' EXIT\n${smaller}`;
  await runSteps([{ commands, answer: "" }], () => port, {
    ...process.env,
    TMPDIR: directory.path,
    DOWNLEASE_PORT: String(port),
    DOWNLEASE_SQLITE_PATH: join(directory.path, "sessions.db"),
  });
  expect(smaller).not.toBe(story!.commands);
});
