import fs, { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { basename, dirname, join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  connect,
  type Downlease,
  type DownloadProgress,
  type DownloadSettings,
  downloadItem,
} from "../../src/client/index.ts";
import { runCommand } from "../support/command.ts";
import { FaultServer } from "../support/fault-server.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// What becomes of a directory: names that are one there, long names, what is left behind, what it does not allow.

let server: FaultServer;
let client: Downlease;
let directory: TempDir;
beforeEach(async () => {
  [server, directory] = await Promise.all([FaultServer.start(), tempDir()]);
  client = connect({ url: server.url });
});
afterEach(async () => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
  await server.crash();
  await client[Symbol.asyncDispose]();
  await directory.remove();
});

const target = () => join(directory.path, "new/out");
const download = (options: Partial<DownloadSettings & { itemId: string }> = {}) =>
  downloadItem(client, { itemId: "item", directory: target(), ...options });

/** Looks names up as on a disk where names are one that `fold` makes equal. */
function fold(fold: (name: string) => string): void {
  const exactly = fs.lstat;
  vi.spyOn(fs, "lstat").mockImplementation((async (path: string) => {
    const names = await readdir(dirname(path));
    const found = names.find((name) => fold(name) === fold(basename(path)));
    return await exactly(join(dirname(path), found ?? basename(path)));
  }) as typeof fs.lstat);
  syncBuiltinESMExports();
}

describe("names that are one in the directory", () => {
  const pairs = [
    ["case", "Disk.iso", "disk.iso", (name: string) => name.toLowerCase()],
    ["the form of letters", "\u00fc.iso", "u\u0308.iso", (name: string) => name.normalize("NFC")],
  ] as const;

  test.each(pairs)("by %s are refused before anything is fetched", async (_, one, other, folding) => {
    for (const name of [one, other]) server.addFile(name, 8);
    fold(folding);
    const failure = await download().catch((error: unknown) => error);
    expect(failure).toMatchObject({ reason: "refused", file: other });
    expect((failure as Error).message).toMatch(
      new RegExp(`'${one}' and '${other}' would be one file in ${target()}`),
    );
    expect(server.fileRequests).toEqual([]);
    expect(await readdir(directory.path)).toEqual([]);
    // One of them is no problem.
    await download({ files: [other] });
    expect(await readdir(target())).toEqual([other]);
  });

  test.each(pairs)("by %s elsewhere are both downloaded", async (_, one, other) => {
    const files = [one, other].map((name) => [name, server.addFile(name, 8)] as const);
    await download();
    expect((await readdir(target())).sort()).toEqual([one, other].sort());
    for (const [name, bytes] of files) expect(await readFile(join(target(), name))).toEqual(bytes);
  });

  test("are locked as one", async () => {
    fold((name) => name.toLowerCase());
    server.addFile("disk.iso", 8);
    server.files.set("DISK.ISO", server.files.get("disk.iso")!);
    server.everyFault = { stallAfter: 1 };
    const stop = new AbortController();
    const first = download({ files: ["disk.iso"], signal: stop.signal }).catch(() => {});
    await vi.waitFor(() => expect(server.fileRequests).toHaveLength(1), { timeout: 5_000 });
    const { DiskLock } = await import("../../src/client/disk-lock.ts");
    expect(() => DiskLock.acquire(target(), "file", "disk.iso")).toThrow(/is being downloaded/);
    stop.abort();
    await first;
    server.everyFault = undefined;
    server.onFileRequest = () => {
      expect(() => DiskLock.acquire(target(), "file", "disk.iso")).toThrow(/is being downloaded/);
    };
    await download({ files: ["DISK.ISO"] });
  });
});

test.each([
  [255, `${"x".repeat(251)}.iso`],
  [254, `${"ü".repeat(126)}.a`],
])("a name of %i bytes is downloaded and resumed", async (length, name) => {
  expect(Buffer.byteLength(name)).toBe(length);
  const bytes = server.addFile(name, 1_300_000);
  server.faults.push({ stallAfter: 1_200_000 });
  const stop = new AbortController();
  const onProgress = ({ bytesDone }: DownloadProgress) => {
    if (bytesDone === 1_200_000) stop.abort();
  };
  await expect(download({ onProgress, signal: stop.signal })).rejects.toMatchObject({ reason: "aborted" });
  expect(await download()).toMatchObject({ bytesFetched: 100_000 });
  expect(await readdir(target())).toEqual([name]);
  expect(await readFile(join(target(), name))).toEqual(bytes);
});

describe("nothing is left behind", () => {
  beforeEach(() => void server.addFile("disk.img", 3_000_000));

  test.each<[string, Partial<DownloadSettings & { itemId: string }>]>([
    ["a file that does not exist", { files: ["nofile"] }],
    ["an item that does not exist", { itemId: "wrong" }],
  ])("by %s", async (_, options) => {
    await expect(download(options)).rejects.toMatchObject({ reason: "not_found" });
    expect(await readdir(directory.path)).toEqual([]);
    await mkdir(target(), { recursive: true });
    await expect(download(options)).rejects.toMatchObject({ reason: "not_found" });
    // A directory that was there stays.
    expect(await readdir(target())).toEqual([]);
  });

  test("by a caller who is refused", async () => {
    server.beforeCall = () => {
      throw new ConnectError("no", Code.PermissionDenied);
    };
    await expect(download()).rejects.toMatchObject({ reason: "refused" });
    expect(await readdir(directory.path)).toEqual([]);
  });

  test("by a download that is aborted before its first bytes", async () => {
    const stop = new AbortController();
    server.beforeCall = (method) => {
      if (method === "prepare") stop.abort();
    };
    await expect(download({ signal: stop.signal })).rejects.toMatchObject({ reason: "aborted" });
    expect(server.ends).toEqual(["cancel"]);
    expect(await readdir(directory.path)).toEqual([]);
  });

  test("but what the next run resumes: the token of a session whose creation got no answer, and partial files", async () => {
    server.beforeCall = (method) => {
      if (method === "get") throw new ConnectError("not now", Code.Unavailable);
    };
    await expect(download({ patienceMs: 0 })).rejects.toMatchObject({ reason: "unreachable" });
    expect(await readdir(target())).toEqual([expect.stringMatching(/^\.downlease-.*\.json$/)]);
    server.beforeCall = () => {};
    server.faults.push({ cutAfter: 2_000_000 });
    server.everyFault = { status: 503 };
    await expect(download({ patienceMs: 0 })).rejects.toMatchObject({ reason: "unreachable" });
    expect(server.created).toBe(1);
    // A failure that has nothing to do with the partial file.
    await expect(download({ files: ["nofile"] })).rejects.toMatchObject({ reason: "not_found" });
    server.everyFault = undefined;
    expect(await download()).toMatchObject({ bytesFetched: 1_000_000 });
  });
});

describe("a directory that can't be used is named, with the reason", () => {
  const get = (output: string) => runCommand(["get", "item", "--server", server.url, "-q", "-o", output]);
  beforeEach(() => void server.addFile("disk.img", 100));

  test.each([
    ["EACCES", "access is denied"],
    ["EROFS", "the file system is read-only"],
    ["ENOSPC", "the disk is full"],
  ])("%s", async (code, meaning) => {
    await mkdir(target(), { recursive: true });
    vi.spyOn(fs, "open").mockRejectedValue(Object.assign(new Error(`${code}: x`), { code }));
    syncBuiltinESMExports();
    expect(await get(target())).toEqual({
      code: 7,
      stdout: "",
      stderr: `downlease: ${target()} can't be written: ${meaning} (${code}). Run the same command again to resume.\n`,
    });
  });

  test.each([
    ["a file", "file", /file can't be written: a file has that name \(EEXIST\)\.\n$/],
    ["below a file", "file/out", /out can't be written: a part of the path is not a directory \(ENOTDIR\)/],
  ])("%s", async (_, name, message) => {
    await fs.writeFile(join(directory.path, "file"), "");
    const { code, stderr } = await get(join(directory.path, name));
    expect(stderr).toMatch(message);
    expect(code).toBe(7);
    expect((await stat(join(directory.path, "file"))).isFile()).toBe(true);
  });
});
