import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { cheapHash } from "../support/auth-calls.ts";
import { runCommand, startOnTerminal } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
let service: Service;
let state: string;
let runs = 0;

beforeAll(async () => {
  directory = await tempDir();
  const users = join(directory.path, "users");
  await writeFile(users, `alice:${cheapHash("correct horse")}:\nbob:${cheapHash("battery staple")}:\n`);
  service = await startService(["--users-file", users]);
});
afterAll(async () => {
  await service.stop();
  await directory.remove();
});
beforeEach(() => {
  state = join(directory.path, `state-${runs++}`);
});

const password = { DOWNLEASE_PASSWORD: "correct horse" };

/** Runs a command for the service, with a state directory of the test. */
const run = (args: readonly string[], env: Record<string, string> = {}) =>
  runCommand(args, { env: { DOWNLEASE_SERVER: service.url, XDG_STATE_HOME: state, ...env } });
const logIn = (...args: string[]) => run(["login", "--user", "alice", ...args], password);

async function savedFile(): Promise<string> {
  const logins = join(state, "downlease", "logins");
  const [name, ...others] = await readdir(logins);
  expect(others).toEqual([]);
  return join(logins, name!);
}

async function savedId(): Promise<string> {
  return JSON.parse(await readFile(await savedFile(), "utf8")).sessionId;
}

async function statusOf(id: string): Promise<number> {
  return (await fetch(`${service.url}/api/session`, { headers: { "vmware-api-session-id": id } })).status;
}

describe("login", () => {
  test("saves a session that only its owner can read, and that later commands use", async () => {
    expect(await logIn()).toEqual({
      code: 0,
      stdout: `logged in at ${service.url} as alice\n`,
      stderr: "",
    });
    const file = await savedFile();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(join(file, ".."))).mode & 0o777).toBe(0o700);
    expect(await readFile(file, "utf8")).not.toContain("horse");
    const passwordChecks = () =>
      service.logs.filter(({ operation }) => operation === "Session.Create").length;
    // The log arrives a little later than the answer.
    const before = await eventually("the log of the login", () => passwordChecks() || undefined);
    for (const args of [["items"], ["sessions"], ["get", "tools-iso", "-q", "-o", directory.path]]) {
      expect(await run(args)).toMatchObject({ code: 0, stderr: "" });
    }
    expect(passwordChecks()).toBe(before);
    expect(await statusOf(await savedId())).toBe(200);
  });

  test("is for the server that it was made at, however its URL is written", async () => {
    await logIn();
    expect(await run(["items", "--server", `${service.url}/`])).toMatchObject({ code: 0 });
    const elsewhere = service.url.replace("127.0.0.1", "localhost");
    expect(await run(["items", "--server", elsewhere])).toMatchObject({ code: 4 });
  });

  test("is not used when there are other credentials", async () => {
    await logIn();
    expect(await run(["items", "--token", "wrong"])).toMatchObject({ code: 4 });
    const bob = { DOWNLEASE_USER: "bob", DOWNLEASE_PASSWORD: "battery" };
    expect(await run(["items"], bob)).toMatchObject({ code: 4 });
  });

  test("a second time closes the session of the first", async () => {
    await logIn();
    const first = await savedId();
    expect(await logIn("--json")).toEqual({
      code: 0,
      stdout: `${JSON.stringify({ server: service.url, user: "alice", logged_in: true })}\n`,
      stderr: "",
    });
    expect(await savedId()).not.toBe(first);
    expect(await statusOf(first)).toBe(401);
  });

  test("that has ended is reported with what to do", async () => {
    await logIn();
    const headers = { "vmware-api-session-id": await savedId() };
    await fetch(`${service.url}/api/session`, { method: "DELETE", headers });
    for (const args of [["items"], ["get", "photon"], ["sessions", "cancel", "x"]]) {
      expect(await run(args)).toEqual({
        code: 4,
        stdout: "",
        stderr:
          "downlease: The login session has expired or was closed. Log in with downlease login, or pass credentials with --token, --user or --cert.\n",
      });
    }
  });

  test("with a wrong password saves nothing, and keeps an earlier one", async () => {
    const wrong = () => run(["login", "--user", "alice"], { DOWNLEASE_PASSWORD: "wrong" });
    expect(await wrong()).toMatchObject({ code: 4, stdout: "" });
    expect(await readdir(directory.path)).not.toContain(state.split("/").at(-1));
    await logIn();
    await wrong();
    expect(await statusOf(await savedId())).toBe(200);
  });

  test("follows no link that lies where the login is kept", async () => {
    await logIn();
    const file = await savedFile();
    const victim = join(directory.path, "victim");
    await writeFile(victim, await readFile(file, "utf8"));
    await runCommand(["logout"], { env: { DOWNLEASE_SERVER: service.url, XDG_STATE_HOME: state } });
    await symlink(victim, file);
    const outcome = await run(["items"]);
    expect(outcome).toMatchObject({ code: 7, stdout: "" });
    expect(outcome.stderr).toContain("is a symbolic link");
  });

  test.each([
    [[], {}, "who logs in?"],
    [["--user", "alice"], {}, "the password of alice is needed"],
  ])("%j without a terminal is a mistake of usage", async (args, env, message) => {
    const { code, stderr } = await run(["login", ...args], env);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  test("without a place for it says so and closes the session again", async () => {
    const closed = () =>
      service.logs.filter(({ operation, outcome }) => operation === "Session.Delete" && outcome === "ok")
        .length;
    const before = closed();
    const env = { DOWNLEASE_SERVER: service.url, ...password };
    const { code, stderr } = await runCommand(["login", "--user", "alice"], { env });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "downlease: there is no directory for saved logins: set HOME or XDG_STATE_HOME\n",
    });
    await eventually("the session to be closed", () => closed() > before);
  });

  test("asks a terminal for user and password", async () => {
    const child = await startOnTerminal(["login"], { DOWNLEASE_SERVER: service.url, XDG_STATE_HOME: state });
    await eventually("the first question", () => child.stdout.includes("User at"), { withinMs: 15_000 });
    child.type("alice\r");
    await eventually("the second question", () => child.stdout.includes("Password of alice"));
    child.type("correct horse\r");
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(child.stdout).toContain("logged in at");
    expect(child.stdout).not.toContain("horse");
  });
});

describe("logout", () => {
  test("closes the session, here and at the server", async () => {
    await logIn();
    const id = await savedId();
    expect(await run(["logout"])).toEqual({ code: 0, stdout: `logged out at ${service.url}\n`, stderr: "" });
    expect(await statusOf(id)).toBe(401);
    expect(await run(["items"])).toMatchObject({ code: 4 });
    expect(await run(["logout"])).toMatchObject({ code: 0, stdout: `not logged in at ${service.url}\n` });
  });

  test("forgets the login of a server that can't be reached", async () => {
    await logIn();
    const file = await savedFile();
    const gone = { server: "http://127.0.0.1:1", user: "alice", sessionId: await savedId() };
    const { saveLogin } = await import("../../src/cli/login/saved-logins.ts");
    await saveLogin(gone, { XDG_STATE_HOME: state });
    const outcome = await run(["logout", "--server", gone.server]);
    expect(outcome).toMatchObject({ code: 0, stdout: `logged out at ${gone.server}\n` });
    expect(outcome.stderr).toContain("which expires by itself");
    expect(await savedFile()).toBe(file);
  });

  test.each(["", "{", "[]", '{"server":1}', '{"sessionId":"a\\nb"}'])(
    "a saved file of %j counts as none",
    async (text) => {
      await logIn();
      const file = await savedFile();
      await mkdir(join(file, ".."), { recursive: true });
      await writeFile(file, text);
      expect(await run(["items"])).toMatchObject({ code: 4 });
      expect(await logIn()).toMatchObject({ code: 0 });
    },
  );
});
