import { chmod, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AuditFile } from "../../src/telemetry/audit-file.ts";
import { eventually } from "../support/eventually.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
let path: string;
const failures: string[] = [];
const logged: string[] = [];
const log = {
  info: (message: string) => void logged.push(message),
  error: (_: object, message: string) => void logged.push(message),
};
const closing: AuditFile[] = [];

beforeEach(async () => {
  directory = await tempDir();
  path = join(directory.path, "audit");
  failures.length = 0;
  logged.length = 0;
});
afterEach(async () => {
  for (const file of closing.splice(0)) await file.close();
  await directory.remove();
});

async function open(at = path, maxWaiting = 10_000) {
  const countFailure = (reason: string) => void failures.push(reason);
  const file = await AuditFile.open({ path: at, log, countFailure, maxWaiting, retryMs: 5 });
  closing.push(file);
  return file;
}

const contents = (at = path) => readFile(at, "utf8");

test("is made for its owner alone, and appended to", async () => {
  const file = await open();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  for (const line of ["1\n", "2\n", "3\n"]) file.write(line);
  await file.close();
  await writeFile(join(directory.path, "other"), "");
  const again = await open();
  again.write("4\n");
  await again.close();
  expect(await contents()).toBe("1\n2\n3\n4\n");
  closing.length = 0;
});

test("is shared by several writers, each line whole", async () => {
  const files = await Promise.all([open(), open(), open()]);
  const line = (index: number) => `${String(index).repeat(900)}\n`;
  for (let round = 0; round < 10; round++)
    for (const [index, file] of files.entries()) file.write(line(index));
  await Promise.all(closing.splice(0).map((file) => file.close()));
  const lines = (await contents()).split("\n").slice(0, -1);
  expect(lines).toHaveLength(30);
  expect(new Set(lines)).toEqual(new Set([0, 1, 2].map((index) => line(index).trimEnd())));
});

test("is opened again after it was renamed, and loses nothing on the way", async () => {
  const file = await open();
  for (let index = 0; index < 50; index++) file.write(`${index}\n`);
  await rename(path, `${path}.1`);
  await file.reopen();
  for (let index = 50; index < 100; index++) file.write(`${index}\n`);
  await closing.pop()!.close();
  const [old, fresh] = [await contents(`${path}.1`), await contents()];
  expect((old + fresh).split("\n").slice(0, -1)).toEqual(
    Array.from({ length: 100 }, (_, index) => `${index}`),
  );
  expect(fresh).toContain("99");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("stays as it is when it can't be opened again", async () => {
  const file = await open(join(directory.path, "audit"));
  await rename(path, `${path}.1`);
  await symlink(join(directory.path, "gone", "audit"), path);
  await file.reopen();
  file.write("still\n");
  await closing.pop()!.close();
  expect(await contents(`${path}.1`)).toBe("still\n");
  expect(logged).toEqual(["the audit log can't be opened again; keeping the previous file"]);
});

test("on a full disk lines wait, then are dropped; nothing fails, one line says so, and it goes on", async () => {
  const target = join(directory.path, "audit");
  await symlink("/dev/full", target);
  const file = await open(target, 100);
  for (let index = 0; index < 30; index++) file.write(`line ${index}!\n`);
  await eventually("failures", () => failures.filter((reason) => reason === "write").length > 3);
  expect(failures.filter((reason) => reason === "dropped").length).toBeGreaterThan(15);
  expect(logged).toEqual([expect.stringMatching(/^the audit log can't be written/)]);
  await symlink(join(directory.path, "fresh"), `${target}.2`);
  await rename(`${target}.2`, target);
  await file.reopen();
  const fresh = join(directory.path, "fresh");
  await eventually("the lines that waited", async () =>
    (await contents(fresh)).startsWith("line 0!\nline 1!\n"),
  );
  expect(logged.at(-1)).toBe("the audit log is written again");
});

test("that is no file can't be opened", async () => {
  await expect(open(directory.path)).rejects.toThrow(/EISDIR/);
  await writeFile(path, "");
  await chmod(path, 0o600);
  await expect(open(join(path, "below"))).rejects.toThrow(/ENOTDIR/);
});

test("is closed soon on a full disk", async () => {
  await symlink("/dev/full", path);
  const file = await open();
  file.write("lost\n");
  await closing.pop()!.close();
  expect(failures.filter((reason) => reason === "dropped")).toHaveLength(1);
  file.write("late\n");
  expect(failures.filter((reason) => reason === "dropped")).toHaveLength(2);
});
