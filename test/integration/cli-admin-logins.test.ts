import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { runCommand, startOnTerminal } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// A terminal needs a process, which takes its time to start on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let app: TestApp;
let directory: TempDir;
let root: string[];
beforeAll(async () => {
  directory = await tempDir();
  const usersFile = join(directory.path, "users");
  const users = ["alice:HASH:", "bob:HASH:storage", "root:HASH:admin"];
  const hash = cheapHash("secret");
  await writeFile(usersFile, users.map((user) => `${user.replace("HASH", hash)}\n`).join(""), {
    mode: 0o600,
  });
  app = await startTestApp({ settings: { usersFile } });
  const passwordFile = join(directory.path, "password");
  await writeFile(passwordFile, "secret\n", { mode: 0o600 });
  root = ["--server", app.url, "--user", "root", "--password-file", passwordFile];
});
afterAll(async () => {
  await app.stop();
  await directory.remove();
});

async function logIn(name: string): Promise<void> {
  const headers = { authorization: basic(name, "secret") };
  const { status } = await fetch(`${app.url}/api/session`, { method: "POST", headers });
  expect(status).toBe(201);
}

const admin = (...args: string[]) => runCommand(["admin", ...args, ...root]);

const json = ({ stdout }: { readonly stdout: string }) =>
  stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

test("login sessions are a table by principal, and an object a line with --json", async () => {
  await logIn("bob");
  await logIn("alice");
  const { code, stdout, stderr } = await admin("logins");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [titles, ...rows] = stdout.trimEnd().split("\n");
  expect(titles!.split(/ {2,}/)).toEqual(["ID", "PRINCIPAL", "ROLES", "PROOF", "LAST USED", "EXPIRES IN"]);
  expect(rows.map((row) => row.split(/ {2,}/)[1])).toEqual(["alice", "bob", "root"]);
  const [bob] = json(await admin("logins", "--of", "bob", "--json"));
  expect(bob).toEqual({
    ...{
      id: expect.stringMatching(/^[0-9a-f]{64}$/),
      principal: "bob",
      roles: ["storage"],
      proof: "password",
    },
    ...{ created_time: expect.any(String), last_accessed_time: expect.any(String) },
    expiration_time: expect.any(String),
  });
});

test("they end by id or by principal, with --yes where nobody can be asked", async () => {
  await logIn("bob");
  const [{ id }] = json(await admin("logins", "--of", "bob", "--json"));
  expect(await admin("logins", "end", id)).toMatchObject({ code: 2, stderr: expect.stringMatching(/--yes/) });
  expect(await admin("logins", "end", id, "--yes")).toMatchObject({
    code: 0,
    stdout: "1 login session ended\n",
  });
  expect(await admin("logins", "end", id, "-y")).toMatchObject({
    code: 3,
    stdout: "0 login sessions ended\n",
  });
  await logIn("bob");
  expect(json(await admin("logins", "end", "--of", "bob", "-y", "--json"))[0].ended).toBeGreaterThan(0);
  expect(json(await admin("logins", "--of", "bob", "--json"))).toEqual([]);
  for (const wrong of [[], ["x", "--of", "bob"]]) {
    expect((await admin("logins", "end", "-y", ...wrong)).code).toBe(2);
  }
});

test("on a terminal they end only when that is confirmed", async () => {
  const patience = { withinMs: 20_000 };
  for (const [answer, left] of [
    ["no", 1],
    ["yes", 0],
  ] as const) {
    await admin("logins", "end", "--of", "alice", "-y");
    await logIn("alice");
    const terminal = await startOnTerminal(["admin", "logins", "end", "--of", "alice", ...root]);
    await eventually(
      "the question",
      () => terminal.stdout.includes("end all login sessions of 'alice'"),
      patience,
    );
    terminal.type(`${answer}\r`);
    await terminal.exited;
    expect(json(await admin("logins", "--of", "alice", "--json"))).toHaveLength(left);
  }
});

test("users and the latest entries of the audit log can be listed", async () => {
  expect(json(await admin("users", "--json"))).toEqual([
    { name: "alice", roles: [] },
    { name: "bob", roles: ["storage"] },
    { name: "root", roles: ["admin"] },
  ]);
  expect((await admin("users")).stdout).toMatch(/^NAME +ROLES\nalice\nbob +storage\nroot +admin\n$/);
  await logIn("bob");
  const entries = json(await admin("audit", "--of", "bob", "--json"));
  expect(entries.at(-1)).toMatchObject({ principal: "bob", operation: "Session.Create", outcome: "ok" });
  expect((await admin("audit", "--of", "bob")).stdout).toMatch(
    /^TIME .*\n.* bob +127\.0\.0\.1 +Session\.Create +ok/,
  );
});
