import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildBinary } from "../../deploy/binary/build.ts";
import { root, run } from "../support/packages.ts";
import { startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

/** It is large, and made in some ten seconds, so only `npm run test:all` makes it. */
const isBuilt = process.env.TEST_ALL !== undefined;

describe.runIf(isBuilt)("the executable", () => {
  let scratch: TempDir;
  let binary: string;
  beforeAll(async () => {
    scratch = await tempDir();
    binary = await buildBinary(join(scratch.path, "binary"));
  }, 240_000);
  afterAll(() => scratch.remove());

  /** Without Node.js on the PATH. */
  const outcome = (...args: string[]) =>
    run(binary, args, { cwd: scratch.path, env: { HOME: scratch.path } });

  test("has the version and the help of the program", async () => {
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    expect(await outcome("--version")).toEqual({ stdout: `${version}\n`, stderr: "" });
    expect((await outcome("serve", "--help")).stdout).toContain("--lease-seconds");
    const script = await readFile(join(root, "src/cli/completion/completion.bash"), "utf8");
    expect((await outcome("completion", "bash")).stdout).toBe(script);
  });

  test.each([
    ["SQLite", () => ["--sqlite-path", join(scratch.path, "sessions.db")]],
    ["SQLite, with workers", () => ["--sqlite-path", join(scratch.path, "more.db"), "--workers", "2"]],
    ["Redis", () => ["--redis-url", sharedRedisUrl()]],
  ])("serves with %s, and downloads", async (kind, store) => {
    const content = join(scratch.path, kind);
    const disk = randomBytes(8 * 2 ** 20);
    await mkdir(join(content, "demo/disks"), { recursive: true });
    // Large enough for the hashing thread.
    await writeFile(join(content, "demo/disks/disk.img"), disk);
    await using service = await startService(["--content-root", content, ...store()], {}, binary);
    expect((await fetch(`${service.url}/openapi.json`)).status).toBe(200);
    expect(await (await fetch(`${service.url}/console/`)).text()).toContain("the executable has none");
    const target = `from ${kind}`;
    const { stdout } = await outcome("get", "demo/disks", "-o", target, "--server", service.url);
    const digest = createHash("sha256").update(disk).digest("hex");
    expect(stdout).toBe(`${digest}  ${target}/disk.img\n`);
    expect(await readFile(join(scratch.path, target, "disk.img"))).toEqual(disk);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });
});
