import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parsePasswordHash, verifyPassword } from "../../src/auth/password-hash.ts";
import { parseUsers } from "../../src/auth/users-file.ts";
import { eventually } from "../support/eventually.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

let directory: TempDir;
let path: string;
beforeEach(async () => {
  directory = await tempDir();
  path = join(directory.path, "users");
});
afterEach(() => directory.remove());

/** A program, what it has said so far, and how to answer it. */
function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env } });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
    });
  }
  child.stdin.on("error", () => {});
  return { said, stdin: child.stdin, ended: once(child, "close").then(([code]) => ({ code, ...said })) };
}

async function users(args: readonly string[], input = "", env?: NodeJS.ProcessEnv) {
  const { stdin, ended } = start(process.execPath, [main, "users", ...args], env);
  stdin.end(input);
  return ended;
}

/** On a terminal, where each answer is typed when its question has been asked. */
async function typed(answers: readonly (readonly [question: string, answer: string])[]) {
  const command = [process.execPath, main, "users", "add", "alice", "--users-file", path].join(" ");
  const { said, stdin, ended } = start("script", ["-qec", command, "/dev/null"]);
  for (const [question, answer] of answers) {
    await eventually(question, () => said.stdout.includes(question), { withinMs: 15_000 });
    stdin.write(answer);
  }
  const { code, stdout } = await ended;
  return { code, stdout };
}

const passwordOf = async (name: string) =>
  parsePasswordHash(parseUsers(await readFile(path, "utf8")).find((user) => user.name === name)!.password);

test("users are added with a password from a pipe, listed, changed and removed", {
  timeout: 60_000,
}, async () => {
  const file = ["--users-file", path];
  const added = await users(["add", "alice", "--role", "admin", ...file], "correct horse\nnot this\n");
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
  [["add", "alice"], "", "no password was given\n"],
  [["add", "alice"], "short\n", "a password has at least 8 characters\n"],
  [["add", "alice"], "tab\tin the middle\n", "a password has no control characters and at most 1024 bytes\n"],
  [
    ["add", "alice"],
    `${"x".repeat(1025)}\n`,
    "a password has no control characters and at most 1024 bytes\n",
  ],
  [["add", "a:b"], "correct horse\n", /^the name must be/],
  [["remove", "alice"], "", /^ENOENT/],
  [["list"], "", /^ENOENT/],
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

test("a broken file is told by its line, and left as it is", async () => {
  await writeFile(path, "alice:secret:\n");
  const { code, stderr } = await users(["add", "bob", "--users-file", path], "correct horse\n");
  expect(code).toBe(1);
  expect(stderr).toMatch(/users can't be used: line 1: the password must be a PHC string/);
  expect(stderr).not.toContain("secret");
  expect(await readFile(path, "utf8")).toBe("alice:secret:\n");
});

test("a terminal is asked twice, and shows nothing of the answers", async () => {
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
  expect(interrupted).toMatchObject({ code: 1, stdout: expect.stringContaining("no password was given") });
  await expect(readFile(path)).rejects.toThrow(/ENOENT/);
});
