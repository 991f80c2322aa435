import { type FileHandle, mkdir, open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DownloadSessionModel_State as State } from "../../gen/content/library/item/v1/download_session_pb.ts";
import {
  connect,
  type Downlease,
  type DownloadProgress,
  type DownloadSettings,
  downloadItem,
} from "../../src/client/index.ts";
import { eventually } from "../support/eventually.ts";
import { type Fault, FaultServer, type FileRequest } from "../support/fault-server.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const size = 3_000_000;

let server: FaultServer;
let client: Downlease;
let directory: TempDir;
beforeEach(async () => {
  [server, directory] = await Promise.all([FaultServer.start(), tempDir()]);
  client = connect({ url: server.url });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
  await directory.remove();
});

function download(options: Partial<DownloadSettings & { itemId: string }> = {}) {
  return downloadItem(client, {
    itemId: "item",
    directory: directory.path,
    patienceMs: 10_000,
    idleMs: 10_000,
    ...options,
  });
}

/** What is in the directory, by name. */
async function onDisk(): Promise<Record<string, Buffer>> {
  const names = (await readdir(directory.path)).sort();
  const files = names.map(async (name) => [name, await readFile(join(directory.path, name))] as const);
  return Object.fromEntries(await Promise.all(files));
}

/** The item's files are in the directory, byte for byte, and nothing else is. */
async function expectWholeItem(): Promise<void> {
  const files = await onDisk();
  expect(Object.keys(files)).toEqual([...server.files.keys()].sort());
  for (const [name, bytes] of server.files) expect(bytes.equals(files[name]!), name).toBe(true);
}

function requestsOf(name: string): FileRequest[] {
  return server.fileRequests.filter((request) => request.name === name);
}

const rangeOf = ({ range }: FileRequest) => Number(/^bytes=(\d+)-$/.exec(range ?? "bytes=0-")?.[1]);

/** Runs an action once, when this many bytes are on disk. */
function once(action: (progress: DownloadProgress) => void, bytes = 1): (progress: DownloadProgress) => void {
  let done = false;
  return (progress) => {
    if (done || progress.bytesDone < bytes) return;
    done = true;
    action(progress);
  };
}

describe("an item", () => {
  test("is downloaded whole and verified, and leaves no other files", async () => {
    server.addFile("disk.bin", size);
    server.addFile("small ünï.txt", 10);
    server.addFile("empty", 0);
    server.preparingPolls = 1;
    const reports: DownloadProgress[] = [];
    const result = await download({ onProgress: (progress) => reports.push(progress) });
    await expectWholeItem();
    expect(result).toMatchObject({
      itemId: "item",
      contentVersion: "v1",
      bytesTotal: size + 10,
      bytesFetched: size + 10,
      files: [
        { name: "disk.bin", size, outcome: "downloaded", path: join(directory.path, "disk.bin") },
        { name: "small ünï.txt" },
        { name: "empty", sha256: expect.stringMatching(/^e3b0c442/) },
      ],
    });
    expect(server.ends).toEqual(["delete"]);
    expect(server.created).toBe(1);
    const last = reports.at(-1)!;
    expect(last).toMatchObject({ percent: 100, bytesDone: size + 10, bytesTotal: size + 10 });
    expect(last.files.map(({ state }) => state)).toEqual(["done", "done", "done"]);
    expect(last).not.toHaveProperty("notice");
    const percents = reports.map(({ percent }) => percent);
    expect(percents).toEqual(percents.toSorted((a, b) => a - b));
  });

  test("with nothing but empty files is at 100 percent in the end", async () => {
    server.addFile("empty", 0);
    const percents: number[] = [];
    await download({ onProgress: ({ percent }) => percents.push(percent) });
    expect(percents.at(-1)).toBe(100);
    expect(server.fileRequests).toEqual([]);
    await expectWholeItem();
  });

  test("without files is a download that is done", async () => {
    await expect(download()).resolves.toMatchObject({ files: [], bytesTotal: 0 });
    expect(server.ends).toEqual(["delete"]);
  });

  test("is downloaded in part when `files` is set, into a directory that is created", async () => {
    server.addFile("a", 10);
    server.addFile("b", 10);
    const deep = join(directory.path, "new", "deeper");
    await download({ files: ["b"], directory: deep });
    expect(await readdir(deep)).toEqual(["b"]);
  });

  test("is downloaded with at most `parallel` files at once", async () => {
    for (let index = 0; index < 8; index++) server.addFile(`file-${index}`, 1000);
    server.everyFault = { stallAfter: 10 };
    const stop = new AbortController();
    const running = download({ parallel: 3, signal: stop.signal });
    running.catch(() => {});
    await eventually("three files to be in flight", () => server.fileRequests.length === 3);
    // The others are prepared, and wait.
    await eventually("all files to be prepared", () => server.sessions[0]?.prepared.size === 8);
    expect(server.fileRequests).toHaveLength(3);
    stop.abort();
    await expect(running).rejects.toMatchObject({ reason: "aborted" });
  });

  test("sends its progress with the heartbeats, 100 before the session is deleted", async () => {
    server.addFile("disk.bin", size);
    const seen: number[] = [];
    server.beforeCall = (method) => {
      if (method === "delete") seen.push(server.sessions[0]!.progress);
    };
    await download();
    expect(seen).toEqual([100]);
  });

  test("reuses connections", async () => {
    for (let index = 0; index < 20; index++) server.addFile(`file-${index}`, 1000);
    await download({ parallel: 1 });
    await expectWholeItem();
    // One for files, and as many as there are calls at once.
    expect(server.connections).toBeLessThan(25);
    expect(server.fileRequests).toHaveLength(20);
  });
});

describe("a file that exists already", () => {
  test("is not downloaded again when it is right", async () => {
    await writeFile(join(directory.path, "disk.bin"), server.addFile("disk.bin", size));
    await writeFile(join(directory.path, "disk.bin.part"), "left over");
    const result = await download();
    expect(result).toMatchObject({ bytesFetched: 0, files: [{ outcome: "present" }] });
    expect(server.fileRequests).toEqual([]);
    await expectWholeItem();
  });

  test("is replaced when it is not, in one step", async () => {
    const wrong = Buffer.from(server.addFile("disk.bin", size));
    wrong[5]! ^= 1;
    await writeFile(join(directory.path, "disk.bin"), wrong);
    const seen: Promise<Buffer>[] = [];
    server.onFileRequest = () => seen.push(readFile(join(directory.path, "disk.bin")));
    await download();
    expect((await Promise.all(seen)).map((bytes) => bytes.equals(wrong))).toEqual([true]);
    await expectWholeItem();
  });
});

describe("a download that breaks", () => {
  beforeEach(() => void server.addFile("disk.bin", size));

  test.each<[string, Fault, number]>([
    ["is cut off", { cutAfter: 1_000_000 }, 1],
    ["ends too early", { contentLength: 1_234_567 }, 1_234_567],
    ["says nothing more", { stallAfter: 1_000_000 }, 1_000_000],
  ])("because it %s resumes where it was", async (_, fault, min) => {
    server.faults.push(fault);
    const { bytesFetched } = await download({ idleMs: 300 });
    const [first, second, ...rest] = server.fileRequests;
    expect(first).toMatchObject({ range: undefined });
    expect(second).toMatchObject({ ifRange: '"v1-disk.bin"', status: 206 });
    expect(rangeOf(second!)).toBeGreaterThanOrEqual(min);
    expect(rest).toEqual([]);
    expect(bytesFetched).toBe(size);
    await expectWholeItem();
  });

  test("again and again is retried as long as there is progress, even without patience", async () => {
    server.faults.push(...Array.from({ length: 12 }, () => ({ contentLength: 100_000 })));
    await download({ patienceMs: 0 });
    expect(server.fileRequests).toHaveLength(13);
    await expectWholeItem();
  });

  test.each<[string, Fault]>([
    ["is the whole file again", { ignoreRange: true }],
    ["is another range than requested", { shiftRange: 10 }],
    ["is a part of something else", { headers: { etag: '"other"' } }],
    ["has an invalid range", { headers: { "content-range": "bytes */*" } }],
    ["is that there is no such range", { status: 416 }],
    ["is longer than the file", { surplus: 100 }],
  ])("never becomes a wrong file when the next response %s", async (_, fault) => {
    server.faults.push({ contentLength: 1_000_000 }, fault);
    await download();
    await expectWholeItem();
  });

  test("is started over when the server sends no strong ETag", async () => {
    server.faults.push({ contentLength: 1_000_000, headers: { etag: 'W/"weak"' } });
    await download();
    expect(server.fileRequests.map(({ range }) => range)).toEqual([undefined, undefined]);
    await expectWholeItem();
  });

  test("resumes when the server is back", async () => {
    server.faults.push({ stallAfter: 1_000_000 });
    let crashed: Promise<void> | undefined;
    const onProgress = once(() => {
      crashed = server.crash();
    }, 1_000_000);
    const notices: string[] = [];
    const running = download({
      onProgress: (progress) => {
        onProgress(progress);
        if (progress.notice !== undefined) notices.push(progress.notice);
      },
    });
    await eventually("the server to be gone", () => crashed !== undefined);
    await crashed;
    await eventually("the client to notice", () => notices.length > 0);
    await server.listen();
    await running;
    expect(notices[0]).toMatch(/disk\.bin: .*; trying again/);
    expect(server.created).toBe(1);
    expect(rangeOf(server.fileRequests.at(-1)!)).toBe(1_000_000);
    await expectWholeItem();
  });

  test.each<[string, Fault]>([
    ["503 and Retry-After", { status: 503, headers: { "retry-after": "0" } }],
    [
      "503 and Retry-After as a date",
      { status: 503, headers: { "retry-after": "Mon, 01 Jan 2001 00:00:00 GMT" } },
    ],
    ["500", { status: 500 }],
    ["429", { status: 429, headers: { "retry-after": "nonsense" } }],
    ["404", { status: 404 }],
    ["403", { status: 403 }],
  ])("answered with %s is tried again", async (_, fault) => {
    server.faults.push({ contentLength: 1_000_000 }, fault);
    await download();
    expect(server.fileRequests.map(rangeOf)).toEqual([0, 1_000_000, 1_000_000]);
    await expectWholeItem();
  });

  test("fails when no bytes arrive for longer than patienceMs", async () => {
    server.faults.push({ contentLength: 1_000_000 });
    server.everyFault = { cutAfter: 0 };
    await expect(download({ patienceMs: 100 })).rejects.toMatchObject({
      reason: "unreachable",
      file: "disk.bin",
    });
    expect(server.ends).toEqual([expect.stringMatching(/^fail: disk\.bin: /)]);
    expect((await onDisk())["disk.bin.part"]).toHaveLength(1_000_000);
  });

  test("fails when the whole file is sent again and again, and cut each time", async () => {
    server.everyFault = { ignoreRange: true, contentLength: 1_000_000 };
    await expect(download({ patienceMs: 100 })).rejects.toMatchObject({ reason: "unreachable" });
  });

  test("fails when the links lead nowhere for longer than patienceMs", async () => {
    server.everyFault = { status: 404 };
    await expect(download({ patienceMs: 100 })).rejects.toMatchObject({
      reason: "refused",
      message: expect.stringContaining("404"),
    });
  });

  test.each<[string, Fault]>([
    ["400", { status: 400 }],
    ["206 to a request without a range", { status: 206 }],
    ["bytes that are compressed", { headers: { "content-encoding": "gzip" } }],
  ])("answered with %s is refused or tried again, and never a file", async (_, fault) => {
    server.everyFault = fault;
    await expect(download({ patienceMs: 100 })).rejects.toMatchObject({
      reason: expect.stringMatching(/^(refused|unreachable)$/),
    });
    expect(Object.keys(await onDisk())).not.toContain("disk.bin");
  });
});

describe("bytes that are not those of the file", () => {
  beforeEach(() => void server.addFile("disk.bin", size));

  test("are thrown away, and the file is downloaded once more", async () => {
    server.faults.push({ flipAt: 2_000_000 });
    const notices = new Set<string | undefined>();
    await download({ onProgress: ({ notice }) => notices.add(notice) });
    expect([...notices]).toContainEqual(expect.stringContaining("once more"));
    expect(server.fileRequests.map(rangeOf)).toEqual([0, 0]);
    await expectWholeItem();
  });

  test("twice end the download, and no file is left", async () => {
    server.everyFault = { flipAt: 2_000_000 };
    await expect(download()).rejects.toMatchObject({ reason: "checksum", file: "disk.bin" });
    expect(server.fileRequests).toHaveLength(2);
    expect(Object.keys(await onDisk()).filter((name) => name.startsWith("disk"))).toEqual([]);
    expect(server.ends).toEqual([expect.stringContaining("fail: disk.bin")]);
  });

  test("do not match a wrong checksum of the server", async () => {
    server.wrongChecksums.set("disk.bin", "0".repeat(64));
    await expect(download()).rejects.toMatchObject({ reason: "checksum" });
  });

  test("on disk are detected when a run resumes", async () => {
    server.everyFault = { contentLength: 1_000_000 };
    server.onFileRequest = () => {
      if (server.fileRequests.length > 1) server.everyFault = { status: 503 };
    };
    await expect(download({ patienceMs: 0 })).rejects.toMatchObject({ reason: "unreachable" });
    const path = join(directory.path, "disk.bin.part");
    const part = await readFile(path);
    part[7]! ^= 1;
    await writeFile(path, part);
    server.onFileRequest = () => {};
    server.everyFault = undefined;
    await download();
    await expectWholeItem();
  });
});

describe("a session", () => {
  beforeEach(() => void server.addFile("disk.bin", size));

  test("that has expired is replaced, and the download resumes", async () => {
    server.faults.push({ contentLength: 1_000_000 });
    server.onFileRequest = ({ range }) => {
      if (range !== undefined && server.created === 1) server.expireSessions();
    };
    await download();
    expect(server.created).toBe(2);
    expect(server.fileRequests.map(rangeOf)).toEqual([0, 1_000_000, 1_000_000]);
    await expectWholeItem();
  });

  test("that has expired is replaced once, however many files there are", async () => {
    for (let index = 0; index < 6; index++) server.addFile(`file-${index}`, 1000);
    server.faults.push(...Array.from({ length: 4 }, () => ({ status: 404 })));
    server.onFileRequest = () => {
      if (server.fileRequests.length === 4) server.expireSessions();
    };
    await download({ parallel: 4 });
    expect(server.created).toBe(2);
    await expectWholeItem();
  });

  test("that expires immediately each time ends the download", async () => {
    server.everyFault = { status: 404 };
    server.onFileRequest = () => server.expireSessions();
    await expect(download({ patienceMs: 200 })).rejects.toMatchObject({ reason: "refused" });
  });

  test("that another client cancels ends the download", async () => {
    // The next heartbeat reports it long before the idle timeout of the connection.
    server.leaseMs = 3_000;
    server.faults.push({ stallAfter: 1_000_000 });
    const cancel = once(() => {
      for (const session of server.sessions) session.state = State.CANCELED;
    }, 1_000_000);
    await expect(download({ onProgress: cancel })).rejects.toMatchObject({ reason: "lease_lost" });
    expect((await onDisk())["disk.bin.part"]).toHaveLength(1_000_000);
    server.leaseMs = 60_000;
    await download();
    expect(server.fileRequests.map(rangeOf)).toEqual([0, 1_000_000]);
    await expectWholeItem();
  });

  test("is failed with the reason when the download fails, and the next run has another", async () => {
    server.errors.set("disk.bin", "the storage is broken");
    await expect(download()).rejects.toMatchObject({
      reason: "unavailable_file",
      file: "disk.bin",
      message: expect.stringContaining("the storage is broken"),
    });
    expect(server.ends).toEqual(["fail: disk.bin: the server can't prepare the file"]);
    server.errors.clear();
    await download();
    expect(server.created).toBe(2);
    await expectWholeItem();
  });

  test("is created and deleted through failures of the server", async () => {
    const failed = new Set<string>();
    server.beforeCall = (method) => {
      if (failed.has(method)) return;
      failed.add(method);
      throw new ConnectError("restarting", Code.Unavailable);
    };
    await download();
    expect([...failed]).toEqual(expect.arrayContaining(["create", "get", "list", "prepare", "delete"]));
    await expectWholeItem();
  });
});

describe("an item that changes", () => {
  beforeEach(() => {
    server.addFile("disk.bin", size);
    server.addFile("same.bin", size);
  });

  const change = (version: string) => {
    server.contentVersion = version;
    server.addFile("disk.bin", size, version);
  };

  test("is started over, without a byte of the old version", async () => {
    server.everyFault = { contentLength: 1_000_000 };
    server.onFileRequest = ({ range }) => {
      if (range === undefined || server.contentVersion !== "v1") return;
      change("v2");
      server.everyFault = undefined;
    };
    const notices = new Set<string | undefined>();
    const result = await download({ parallel: 1, onProgress: ({ notice }) => notices.add(notice) });
    expect(result.contentVersion).toBe("v2");
    expect([...notices]).toContainEqual(expect.stringContaining("has changed"));
    expect(server.ends).toEqual(["delete", "delete"]);
    await expectWholeItem();
  });

  test("all the time ends the download", async () => {
    server.everyFault = { contentLength: 1_000_000 };
    let versions = 1;
    server.onFileRequest = ({ range }) => {
      if (range !== undefined) change(`v${++versions}`);
    };
    await expect(download()).rejects.toMatchObject({ reason: "changed" });
    expect(Object.keys(await onDisk())).not.toContain("disk.bin");
  });

  test("between two runs keeps the files that are unchanged", async () => {
    const stop = new AbortController();
    server.everyFault = { stallAfter: 1_500_000 };
    await expect(
      download({ signal: stop.signal, onProgress: once(() => stop.abort(), 3_000_000) }),
    ).rejects.toMatchObject({ reason: "aborted" });
    change("v2");
    server.everyFault = undefined;
    server.fileRequests.length = 0;
    const notices = new Set<string | undefined>();
    await download({ onProgress: ({ notice }) => notices.add(notice) });
    expect([...notices]).toContainEqual(expect.stringContaining("since the last run"));
    expect(requestsOf("disk.bin").map(rangeOf)).toEqual([0]);
    // The same bytes under another tag: the server sends them whole.
    expect(requestsOf("same.bin")).toMatchObject([{ ifRange: '"v1-same.bin"', status: 200 }]);
    await expectWholeItem();
  });
});

describe("a download that is canceled", () => {
  test("cancels its session, keeps the partial file, and is resumed by the next run", async () => {
    server.addFile("disk.bin", size);
    server.faults.push({ stallAfter: 1_000_000 });
    const stop = new AbortController();
    const reason = new Error("Ctrl-C");
    const running = download({ signal: stop.signal, onProgress: once(() => stop.abort(reason), 1_000_000) });
    await expect(running).rejects.toMatchObject({ reason: "aborted", cause: reason });
    expect(server.ends).toEqual(["cancel"]);
    expect((await onDisk())["disk.bin.part"]).toHaveLength(1_000_000);
    const { bytesFetched } = await download();
    expect(bytesFetched).toBe(size - 1_000_000);
    expect(server.created).toBe(2);
    await expectWholeItem();
  });

  test("before it has begun does nothing", async () => {
    await expect(download({ signal: AbortSignal.abort() })).rejects.toMatchObject({ reason: "aborted" });
    expect(server.created).toBe(0);
  });

  test("while nothing answers ends at once", async () => {
    await server.crash();
    const stop = new AbortController();
    const running = download({
      signal: stop.signal,
      onProgress: ({ notice }) => notice !== undefined && stop.abort(),
    });
    await expect(running).rejects.toMatchObject({ reason: "aborted" });
  });

  test("while a file is prepared ends at once", async () => {
    server.addFile("disk.bin", size);
    server.preparingPolls = Number.POSITIVE_INFINITY;
    const stop = new AbortController();
    const running = download({
      signal: stop.signal,
      onProgress: ({ files }) => files[0]?.state === "preparing" && stop.abort(),
    });
    await expect(running).rejects.toMatchObject({ reason: "aborted" });
    expect(server.ends).toEqual(["cancel"]);
  });
});

describe("a file that can be read before its checksums are known", () => {
  beforeEach(() => {
    server.addFile("disk.bin", size);
    server.isReadableEarly = true;
    server.preparingPolls = 2;
  });

  test("is verified with them when they are there", async () => {
    await download();
    await expectWholeItem();
  });

  test("is not taken for whole when they turn out to be wrong", async () => {
    server.preparingPolls = Number.POSITIVE_INFINITY;
    const onProgress = ({ files }: DownloadProgress) => {
      if (files[0]?.state === "preparing") server.errors.set("disk.bin", "it does not match its manifest");
    };
    await expect(download({ onProgress })).rejects.toMatchObject({ reason: "unavailable_file" });
    expect(await readdir(directory.path)).not.toContain("disk.bin");
  });

  test("is not taken for whole while they are missing", async () => {
    server.preparingPolls = Number.POSITIVE_INFINITY;
    const stop = new AbortController();
    const onProgress = ({ files }: DownloadProgress) => {
      if (files[0]?.state === "preparing") setTimeout(() => stop.abort(), 400);
    };
    await expect(download({ signal: stop.signal, onProgress })).rejects.toMatchObject({ reason: "aborted" });
    expect(await readdir(directory.path)).not.toContain("disk.bin");
  });
});

describe("a download is refused", () => {
  test("when there is no such item, or no such file", async () => {
    server.addFile("a", 1);
    await expect(download({ itemId: "other" })).rejects.toMatchObject({ reason: "not_found" });
    await expect(download({ files: ["a", "b"] })).rejects.toMatchObject({ reason: "not_found", file: "b" });
    expect(server.fileRequests).toEqual([]);
  });

  test.each(["../evil", "/tmp/evil", "a/b", "a\\b", "..", ".ssh", "a\nb", ""])(
    "when a file is called %j",
    async (name) => {
      server.addFile("good", 10);
      server.addFile(name, 10);
      await expect(download()).rejects.toMatchObject({ reason: "refused", file: name });
      expect(server.fileRequests).toEqual([]);
      const { files } = await download({ files: ["good"] });
      expect(files).toHaveLength(1);
    },
  );

  test("when a file has the name of another one while that is incomplete", async () => {
    server.addFile("a", 10);
    server.addFile("a.part", 10);
    await expect(download()).rejects.toMatchObject({ reason: "refused", file: "a.part" });
  });

  test("while another one into the same directory is running, and not afterwards", async () => {
    server.addFile("disk.bin", size);
    server.faults.push({ stallAfter: 10 });
    const stop = new AbortController();
    const first = download({ signal: stop.signal });
    first.catch(() => {});
    await eventually("the first to be in flight", () => server.fileRequests.length === 1);
    await expect(download()).rejects.toMatchObject({ reason: "busy" });
    expect(server.created).toBe(1);
    stop.abort();
    await expect(first).rejects.toMatchObject({ reason: "aborted" });
    await download();
    await expectWholeItem();
  });

  test("when the directory can't be one, or a file of it can't be written", async () => {
    server.addFile("disk.bin", 10);
    const file = join(directory.path, "file");
    await writeFile(file, "");
    await expect(download({ directory: file })).rejects.toMatchObject({ reason: "disk" });
    await mkdir(join(directory.path, "disk.bin"));
    await expect(download()).rejects.toMatchObject({ reason: "disk", file: "disk.bin" });
  });

  test.each<[string, Partial<DownloadSettings & { itemId: string }>]>([
    ["no item", { itemId: "" }],
    ["no files", { files: [] }],
    ["half a file at once", { parallel: 0.5 }],
    ["no file at once", { parallel: 0 }],
    ["less than no patience", { patienceMs: -1 }],
    ["no time for an answer", { idleMs: 0 }],
  ])("with %s", async (_, options) => {
    await expect(download(options)).rejects.toThrow(TypeError);
    expect(server.created).toBe(0);
  });

  test("with any error that onProgress throws, and the session is failed", async () => {
    server.addFile("disk.bin", size);
    const error = new Error("a bug of the caller's");
    const onProgress = once(() => {
      throw error;
    });
    await expect(download({ onProgress })).rejects.toBe(error);
    expect(server.ends).toEqual(["fail: the client failed"]);
  });
});

/** The prototype of open files, to simulate faults of disks. */
let files: FileHandle;
beforeEach(async () => {
  await using some = await open(directory.path);
  files = Object.getPrototypeOf(some);
});
afterEach(() => void vi.restoreAllMocks());

describe("a disk that saves the state slowly", () => {
  beforeEach(() => void server.addFile("disk.bin", size));

  /** Runs an action before the ETag of the file is saved. */
  function beforeSaving(action: () => void | Promise<void>): void {
    const { writeFile: write } = files;
    vi.spyOn(files, "writeFile").mockImplementation(async function (this: FileHandle, data, options) {
      if (String(data).includes("etag")) await action();
      return await write.call(this, data, options);
    });
  }

  test("does not keep a download from being canceled", async () => {
    const stop = new AbortController();
    beforeSaving(() => stop.abort());
    await expect(download({ signal: stop.signal })).rejects.toMatchObject({ reason: "aborted" });
    expect(server.ends).toEqual(["cancel"]);
  });

  test("does not hide that the connection has broken in the meantime", async () => {
    server.faults.push({ cutAfter: 1_000 });
    beforeSaving(async () => {
      await eventually("the answer to be over", () => server.fileRequests[0]!.isOver);
    });
    await download();
    await expectWholeItem();
  });
});

describe("a disk that is full", () => {
  beforeEach(() => void server.addFile("disk.bin", size));

  const full = Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });

  test("ends the download, which resumes when there is room", async () => {
    const { writev } = files;
    let written = 0;
    const spy = vi.spyOn(files, "writev").mockImplementation(async function (this: FileHandle, chunks, at) {
      written += chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
      if (written > 1_000_000) throw full;
      return await writev.call(this, chunks, at);
    });
    await expect(download()).rejects.toMatchObject({
      reason: "disk",
      file: "disk.bin",
      message: expect.stringMatching(/disk\.bin\.part .*the disk is full \(ENOSPC\)/),
    });
    expect(server.ends).toEqual([expect.stringContaining("the disk is full")]);
    spy.mockRestore();
    const { "disk.bin.part": part } = await onDisk();
    const { bytesFetched } = await download();
    expect(bytesFetched).toBe(size - part!.length);
    await expectWholeItem();
  });

  test("may accept a part of a write", async () => {
    const { writev } = files;
    vi.spyOn(files, "writev").mockImplementation(async function (this: FileHandle, chunks, at) {
      return await writev.call(this, [(chunks[0] as Uint8Array).subarray(0, 100)], at);
    });
    await download();
    await expectWholeItem();
  });

  test("is noticed with the last bytes, too", async () => {
    vi.spyOn(files, "sync").mockRejectedValue(full);
    server.files.set("disk.bin", Buffer.from("too small to be resumable"));
    await expect(download()).rejects.toMatchObject({ reason: "disk" });
    vi.restoreAllMocks();
    await download();
    await expectWholeItem();
  });

  test("does not let a session begin that could not be saved", async () => {
    vi.spyOn(files, "writeFile").mockRejectedValue(full);
    await expect(download()).rejects.toMatchObject({ reason: "disk" });
    expect(server.created).toBe(0);
    expect(await readdir(directory.path)).toEqual([]);
  });
});

describe("a link", () => {
  beforeEach(() => void server.addFile("disk.bin", 1000));

  test("is followed within its origin", async () => {
    server.onFileRequest = () => {
      const location = `/download/${server.sessions[0]!.id}/disk.bin?v=v1`;
      if (server.fileRequests.length === 1) server.faults.push({ status: 307, headers: { location } });
    };
    await download();
    expect(server.fileRequests).toHaveLength(2);
    await expectWholeItem();
  });

  test("is not followed in circles, nor to nowhere", async () => {
    const circle = () => `/download/${server.sessions[0]!.id}/disk.bin?v=v1`;
    for (const location of [circle, () => "http://[", () => "file:///etc/passwd"]) {
      server.onFileRequest = () => server.faults.push({ status: 302, headers: { location: location() } });
      await expect(download()).rejects.toMatchObject({ reason: "refused" });
    }
  });

  test.each(["ftp://127.0.0.1", "file:///etc", "nonsense"])("is refused when it is %s", async (base) => {
    server.linkBase = base;
    await expect(download()).rejects.toMatchObject({ reason: "refused" });
  });
});
