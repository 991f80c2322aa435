import { execFileSync } from "node:child_process";
import { chown, link, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ownName } from "../../src/client/disk.ts";
import { DiskLock } from "../../src/client/disk-lock.ts";
import { PartFile } from "../../src/client/part-file.ts";
import { StateFile } from "../../src/client/state-file.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// A directory that others may write to: what they plant under the names that the library uses there.

const expected = new Map([["sha256", "00"]] as const);

let directory: TempDir;
let shared: string;
/** A directory of the user's. */
let home: string;
beforeEach(async () => {
  directory = await tempDir();
  [shared, home] = [join(directory.path, "shared"), join(directory.path, "home")];
  await Promise.all([mkdir(shared), mkdir(home)]);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await directory.remove();
});

/** The uses of own files, by the names that they use. */
const uses: readonly (readonly [name: string, use: () => Promise<unknown>])[] = [
  [ownName("item", "item", "lock"), async () => DiskLock.acquire(shared, "item", "item")[Symbol.dispose]()],
  [
    ownName("file", "disk.bin", "lock"),
    async () => DiskLock.acquire(shared, "file", "disk.bin")[Symbol.dispose](),
  ],
  [ownName("item", "item", "json"), () => StateFile.open(shared, "item")],
  [
    ownName("item", "item", "json.new"),
    async () => (await StateFile.open(shared, "item")).setSession({ sessionId: "s" }),
  ],
  [
    "disk.bin.part",
    async () => {
      await using _ = await PartFile.open(join(shared, "disk.bin.part"), "disk.bin", expected);
    },
  ],
];

const isRefused = (problem: RegExp) =>
  expect.objectContaining({
    reason: "disk",
    message: expect.stringMatching(new RegExp(`${problem.source}.*Move it away, or choose a directory`)),
  });

async function expectRefused(use: () => Promise<unknown>, problem: RegExp): Promise<void> {
  await expect(use()).rejects.toEqual(isRefused(problem));
}

describe.each(uses)("%s", (name, use) => {
  const planted = () => join(shared, name);
  const victim = () => join(home, "victim");

  test("is created where there is nothing", async () => {
    await use();
    const left = await Promise.all((await readdir(shared)).map((each) => stat(join(shared, each))));
    for (const { mode } of left) expect(mode & 0o022).toBe(0);
  });

  test("is not used when it is a symbolic link, and its target stays as it is", async () => {
    await writeFile(victim(), "precious");
    await symlink(victim(), planted());
    await expectRefused(use, /is a symbolic link/);
    expect(await readFile(victim(), "utf8")).toBe("precious");
  });

  test("is not used when it is a symbolic link to nothing, where nothing is created", async () => {
    await symlink(victim(), planted());
    await expectRefused(use, /is a symbolic link/);
    expect(await readdir(home)).toEqual([]);
  });

  test("is not used when it is a hard link", async () => {
    await writeFile(victim(), "");
    await link(victim(), planted());
    await expectRefused(use, /is a hard link/);
    await writeFile(victim(), "precious");
    await expectRefused(use, /is a hard link/);
    expect(await readFile(victim(), "utf8")).toBe("precious");
  });

  test("is not used when it is a named pipe or a directory", async () => {
    execFileSync("mkfifo", [planted()]);
    await expectRefused(use, /is not a regular file/);
    await rm(planted());
    await mkdir(planted());
    await expectRefused(use, /is a directory/);
  });

  test.runIf(process.geteuid?.() === 0)("is not used when it belongs to another user", async () => {
    await writeFile(planted(), "");
    await chown(planted(), 65_534, 65_534);
    await expectRefused(use, /belongs to another user/);
    expect(await stat(planted())).toMatchObject({ uid: 65_534, size: 0 });
  });

  test("is used again where every file belongs to one user", async () => {
    await writeFile(planted(), "");
    vi.spyOn(process, "geteuid").mockReturnValue(12_345);
    await use();
    expect((await readdir(shared)).filter((each) => each.endsWith(".new") && each !== name)).toEqual([]);
  });
});

test.each(["wal", "delete"])("a lock never changes a database of another program (%s)", async (mode) => {
  const path = join(shared, ownName("item", "item", "lock"));
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (x); INSERT INTO t VALUES (1)`);
  database.close();
  const before = await readFile(path);
  expect(() => DiskLock.acquire(shared, "item", "item")).toThrow(isRefused(/is not empty/));
  expect((await readFile(path)).equals(before)).toBe(true);
  expect(await readdir(shared)).toHaveLength(1);
});

test("a second lock in this process does not release the first one", () => {
  using _ = DiskLock.acquire(shared, "item", "item");
  const attempt = () => DiskLock.acquire(shared, "item", "item");
  expect(attempt).toThrow(expect.objectContaining({ reason: "busy" }));
  // Another process sees it still: SQLite's locks of the system belong to a process.
  const script = `const { DatabaseSync } = require("node:sqlite");
    try { new DatabaseSync(process.argv[1], { timeout: 0 }).exec("BEGIN EXCLUSIVE"); console.log("free"); }
    catch ({ errcode }) { console.log(errcode); }`;
  const path = join(shared, ownName("item", "item", "lock"));
  expect(execFileSync(process.execPath, ["-e", script, path], { encoding: "utf8" })).toBe("5\n");
});

test("a draft that an earlier run left is replaced", async () => {
  await writeFile(join(shared, ownName("item", "item", "json.new")), "half of a sta");
  const state = await StateFile.open(shared, "item");
  await state.setSession({ sessionId: "s" });
  expect((await StateFile.open(shared, "item")).session.sessionId).toBe("s");
  expect(await readdir(shared)).toEqual([ownName("item", "item", "json")]);
});
