import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { cheapHash } from "../support/auth-calls.ts";
import { runCommand } from "../support/command.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
let open: Service;
let guarded: Service;
let config: string;
let runs = 0;

beforeAll(async () => {
  directory = await tempDir();
  const users = join(directory.path, "users");
  await writeFile(users, `alice:${cheapHash("correct horse")}:\n`);
  await writeFile(join(directory.path, "password"), "correct horse\n");
  [open, guarded] = await Promise.all([startService([]), startService(["--users-file", users])]);
});
afterAll(async () => {
  await Promise.all([open.stop(), guarded.stop()]);
  await directory.remove();
});
beforeEach(() => {
  config = join(directory.path, `config-${runs++}`);
});

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  runCommand(args, { env: { XDG_CONFIG_HOME: config, XDG_STATE_HOME: config, ...env } });
const listPath = () => join(config, "downlease", "servers.json");

async function writeList(list: unknown): Promise<void> {
  await mkdir(dirname(listPath()), { recursive: true });
  await writeFile(listPath(), typeof list === "string" ? list : JSON.stringify(list));
}

describe("servers", () => {
  test("are added, listed, changed and removed", async () => {
    expect(await run(["servers"])).toEqual({ code: 0, stdout: "NAME  URL  USER  NOTES\n", stderr: "" });
    const add = ["servers", "add", "prod", `${open.url}/`, "--user", "alice", "--ca", "ca.pem", "--default"];
    expect(await run(add)).toMatchObject({ code: 0, stdout: "prod is added\n", stderr: "" });
    expect(JSON.parse(await readFile(listPath(), "utf8"))).toEqual({
      default: "prod",
      servers: { prod: { url: open.url, user: "alice", ca: join(process.cwd(), "ca.pem") } },
    });
    expect(await run(["servers", "add", "prod", open.url, "--json"])).toMatchObject({
      stdout: `${JSON.stringify({ name: "prod", url: open.url, changed: true })}\n`,
    });
    expect(await run(["servers", "list", "--json"])).toMatchObject({
      stdout: `${JSON.stringify({ name: "prod", url: open.url, default: true, logged_in: false })}\n`,
    });
    expect(await run(["servers", "remove", "prod"])).toMatchObject({ code: 0, stdout: "prod is removed\n" });
    expect(await run(["servers", "remove", "prod"])).toMatchObject({ code: 3 });
    expect(JSON.parse(await readFile(listPath(), "utf8"))).toEqual({ servers: {} });
  });

  test("that are linked from elsewhere stay there", async () => {
    const elsewhere = join(directory.path, "elsewhere.json");
    await writeFile(elsewhere, '{"servers":{}}');
    await mkdir(dirname(listPath()), { recursive: true });
    await symlink(elsewhere, listPath());
    await run(["servers", "add", "prod", open.url]);
    expect(await readFile(elsewhere, "utf8")).toContain("prod");
  });

  test.each([
    [["add", "a b", "http://host"], "can't be a name"],
    [["add", "http://x", "http://host"], "can't be a name"],
    [["add", "x", "host"], "is not a URL"],
    [["add", "x", "http://user:secret@host"], "must not contain a user and password"],
  ])("%j is a mistake of usage", async (args, message) => {
    const { code, stdout, stderr } = await run(["servers", ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("a name", () => {
  test("is taken by --server before and after the command, and by the variable", async () => {
    await writeList({ servers: { prod: { url: open.url } } });
    for (const args of [
      ["--server", "prod", "items"],
      ["items", "--server", "prod"],
      ["items", "--server=prod", "demo"],
      ["--json", "items", "--server", "prod", "list"],
    ]) {
      const outcome = await run(args);
      expect(outcome).toMatchObject({ code: 0, stderr: "" });
      expect(outcome.stdout).toContain("photon");
    }
    expect(await run(["items"], { DOWNLEASE_SERVER: "prod" })).toMatchObject({ code: 0 });
  });

  test("of the default server is used when none is named; a URL needs no list", async () => {
    await writeList({ default: "prod", servers: { prod: { url: open.url } } });
    expect(await run(["items"])).toMatchObject({ code: 0 });
    expect(await run(["items", "--server", "http://127.0.0.1:1"])).toMatchObject({ code: 5 });
    await writeList("{");
    expect(await run(["items", "--server", open.url])).toMatchObject({ code: 0 });
  });

  test("brings user and password file, relative to the list", async () => {
    const entry = { url: guarded.url, user: "alice", password_file: "../../password" };
    await writeList({ servers: { prod: entry } });
    expect(await run(["items", "--server", "prod"])).toMatchObject({ code: 0, stderr: "" });
    expect(await run(["items", "--server", "prod", "--token", "wrong"])).toMatchObject({ code: 4 });
    expect(await run(["items", "--server", "prod"], { DOWNLEASE_PASSWORD: "wrong" })).toMatchObject({
      code: 4,
    });
    // They are for this server only.
    expect(await run(["items", "--server", guarded.url])).toMatchObject({ code: 4 });
  });

  test("logs in as its user, whose login is used from then on", async () => {
    await writeList({ default: "prod", servers: { prod: { url: guarded.url, user: "alice" } } });
    expect(await run(["items"])).toMatchObject({ code: 2 });
    expect(await run(["login"], { DOWNLEASE_PASSWORD: "correct horse" })).toMatchObject({ code: 0 });
    expect(await run(["items"])).toMatchObject({ code: 0 });
    expect((await run(["servers"])).stdout).toMatch(/^prod .* alice {2}default, logged in$/m);
    await writeList({ default: "prod", servers: { prod: { url: guarded.url, user: "bob" } } });
    expect((await run(["items"])).stderr).toContain("the password of bob is needed");
  });

  test.each([
    [{ servers: { prod: { url: "http://x" } } }, "there is no server 'prd': the list of servers has prod"],
    ["{", "servers.json is not JSON"],
    [
      { servers: { prd: { url: "http://x", pasword: "y" } } },
      'servers.json is wrong: servers.prd: Unrecognized key: "pasword"',
    ],
    [{ default: "x", servers: {} }, "servers.json is wrong: default: names no server of the list"],
  ])("that leads nowhere: %j", async (list, message) => {
    await writeList(list);
    const { code, stdout, stderr } = await run(["items", "--server", "prd"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^downlease: [^\n]+\n$/);
    expect(stderr).toContain(message);
  });
});

describe("options before a command", () => {
  test("that does not have them are refused", async () => {
    const { code, stderr } = await run(["--server", open.url, "users", "list"]);
    expect(code).toBe(2);
    expect(stderr).toContain("unknown option '--server' for 'list'");
  });

  test("give way to those behind it", async () => {
    const args = ["--server", "http://127.0.0.1:1", "sessions", "--server", open.url];
    expect(await run(args)).toMatchObject({ code: 0 });
  });
});

test.each([["version"], ["-v"], ["--version"]])("%s prints the version", async (...args) => {
  const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  expect(await run(args)).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
});
