import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parsePasswordHash, verifyPassword } from "../../src/auth/password-hash.ts";
import { parseUsers } from "../../src/auth/users-file.ts";
import { runCommand, runProgram, startOnTerminal } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
let path: string;
beforeEach(async () => {
  directory = await tempDir();
  path = join(directory.path, "users");
});
afterEach(() => directory.remove());

const users = (args: readonly string[], input = "", env: Record<string, string> = {}) =>
  runCommand(["users", ...args], { input, env });

/** Adds alice on a terminal, where each answer is typed after its question. */
async function typed(answers: readonly (readonly [question: string, answer: string])[]) {
  const child = await startOnTerminal(["users", "add", "alice", "--users-file", path]);
  for (const [question, answer] of answers) {
    await eventually(question, () => child.stdout.includes(question), { withinMs: 15_000 });
    child.type(answer);
  }
  const { code } = await child.exited;
  return { code, stdout: child.stdout };
}

const passwordOf = async (name: string) =>
  parsePasswordHash(parseUsers(await readFile(path, "utf8")).find((user) => user.name === name)!.password);

test("users are added with a password from a pipe, listed, changed and removed", {
  timeout: 60_000,
}, async () => {
  const file = ["--users-file", path];
  const added = await runProgram(["users", "add", "alice", "--role", "admin", ...file], {
    input: "correct horse\nnot this\n",
  });
  expect(added).toEqual({ code: 0, stdout: "alice is added\n", stderr: "" });
  expect(await verifyPassword(await passwordOf("alice"), "correct horse")).toBe(true);
  const variable = { DOWNLEASE_USERS_FILE: path };
  const roles = ["--role", "storage", "--role", "admin", "--role", "storage"];
  expect(await users(["add", ...roles, "carol", ...file], "staple gun\n")).toMatchObject({ code: 0 });
  expect(await users(["add", "bob"], "battery staple", variable)).toMatchObject({ code: 0 });
  expect(await users(["list"], "", variable)).toEqual({
    code: 0,
    stdout: "alice\tadmin\ncarol\tstorage\tadmin\nbob\n",
    stderr: "",
  });
  expect(await users(["add", "alice", ...file], "another horse\n")).toMatchObject({
    code: 0,
    stdout: "alice is changed\n",
  });
  expect(await verifyPassword(await passwordOf("alice"), "correct horse")).toBe(false);
  expect(await users(["remove", "bob", ...file])).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(await users(["list", ...file])).toMatchObject({ stdout: "alice\ncarol\tstorage\tadmin\n" });
});

test.each([
  [["add", "alice"], "", "no password was entered\n"],
  [["add", "alice"], "short\n", "a password must have at least 8 characters\n"],
  [
    ["add", "alice"],
    "tab\tin the middle\n",
    "a password must have no control characters and at most 1024 bytes\n",
  ],
  [
    ["add", "alice"],
    `${"x".repeat(1025)}\n`,
    "a password must have no control characters and at most 1024 bytes\n",
  ],
  [["add", "a:b"], "correct horse\n", /^downlease: the name must be/],
  [["remove", "alice"], "", /^downlease: .* does not exist\./],
  [["list"], "", /^downlease: .* does not exist\./],
] as const)("%j with input %# is refused in one line", async (args, input, message) => {
  const { code, stdout, stderr } = await users([...args, "--users-file", path], input);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(message);
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
});

test.each([
  [["add", "alice"], /--users-file/],
  [["add", "alice", "--users-file", "f", "--role", "root"], /admin, storage/],
  [["add", "alice", "--users-file", "f", "--role", "admin", "--role", ""], /admin, storage/],
  [["add", "--users-file", "f"], /missing required argument 'name'/],
  [["ad"], /unknown command/],
])("%j is a mistake of usage", async (args, message) => {
  const { code, stderr } = await users(args);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

test("an invalid file is refused with the line number, and left unchanged", async () => {
  await writeFile(path, "alice:secret:\n");
  const { code, stderr } = await users(["add", "bob", "--users-file", path], "correct horse\n");
  expect(code).toBe(1);
  expect(stderr).toMatch(/users is invalid: line 1: the password must be a PHC string/);
  expect(stderr).not.toContain("secret");
  expect(await readFile(path, "utf8")).toBe("alice:secret:\n");
});

test("a terminal asks twice and does not echo the answers", async () => {
  const { code, stdout } = await typed([
    ["Password of alice: ", "correct horse\r"],
    ["Again: ", "correct horse\r"],
  ]);
  expect(code).toBe(0);
  expect(stdout).toContain("alice is added");
  expect(stdout).not.toContain("horse");
  expect(await verifyPassword(await passwordOf("alice"), "correct horse")).toBe(true);
});

test("two passwords that differ are refused, and so is none", async () => {
  const differing = await typed([
    ["Password of alice: ", "correct horse\r"],
    ["Again: ", "correct house\r"],
  ]);
  expect(differing).toMatchObject({ code: 1, stdout: expect.stringContaining("the two passwords differ") });
  const interrupted = await typed([["Password of alice: ", "corr\x03"]]);
  expect(interrupted).toMatchObject({ code: 1, stdout: expect.stringContaining("no password was entered") });
  await expect(readFile(path)).rejects.toThrow(/ENOENT/);
});
