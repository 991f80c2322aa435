import { type FileHandle, open, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
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

// A file that is fetched over several connections.

const mebibyte = 1024 * 1024;
const size = 34 * mebibyte;
/** Bytes that each of three connections requests at a time. */
const share = 16 * mebibyte;

let server: FaultServer;
let client: Downlease;
let directory: TempDir;
let bytes: Buffer;
beforeEach(async () => {
  [server, directory] = await Promise.all([FaultServer.start(), tempDir()]);
  bytes = server.addFile("disk.bin", size);
  client = connect({ url: server.url });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
  await directory.remove();
});

function download(options: Partial<DownloadSettings> = {}) {
  return downloadItem(client, {
    itemId: "item",
    directory: directory.path,
    patienceMs: 10_000,
    idleMs: 10_000,
    connections: 3,
    ...options,
  });
}

async function expectWhole(): Promise<void> {
  expect(await readdir(directory.path)).toEqual(["disk.bin"]);
  expect(bytes.equals(await readFile(join(directory.path, "disk.bin")))).toBe(true);
}

/** Position of the first byte that a request asks for. */
const startOf = ({ range }: FileRequest) => Number(/^bytes=(\d+)-/.exec(range ?? "bytes=0-")?.[1]);
const isFurther = (request: FileRequest) => startOf(request) > 0;

/** The answer to the first request stalls after a mebibyte, and all other bytes arrive. */
function stallFirst(): void {
  server.faultOf = (request) => (request.range === undefined ? { stallAfter: mebibyte } : undefined);
}

/**
 * The answer to the first request stalls after a mebibyte until there are two other requests like this, whose answers have
 * the fault.
 */
function failFurther(fault: Fault, isLike: (request: FileRequest) => boolean = () => true): void {
  const areThere = () => server.fileRequests.filter((each) => isFurther(each) && isLike(each)).length >= 2;
  let further = 0;
  server.faultOf = (request) => {
    if (request.range === undefined) {
      return { stallAfter: mebibyte, resumes: eventually("two further requests", areThere).then(() => {}) };
    }
    further += 1;
    return further <= 2 ? fault : undefined;
  };
}

/** Downloads all but most of the first share, and is aborted then. */
async function downloadWithGap(): Promise<void> {
  stallFirst();
  const abort = new AbortController();
  const onProgress = ({ bytesDone }: DownloadProgress) => {
    if (bytesDone >= size - share) abort.abort();
  };
  await expect(download({ signal: abort.signal, onProgress })).rejects.toMatchObject({ reason: "aborted" });
  server.faultOf = () => undefined;
  server.fileRequests.length = 0;
}

async function statePath(): Promise<string> {
  const name = (await readdir(directory.path)).find((each) => each.endsWith(".json"));
  return join(directory.path, name!);
}

describe("a large file", () => {
  test("is fetched in ranges of one version, each byte once, with progress that only grows", async () => {
    failFurther({});
    const done: number[] = [];
    const result = await download({ onProgress: ({ bytesDone }) => void done.push(bytesDone) });
    await expectWhole();
    expect(result.bytesFetched).toBe(size);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    const [first, ...further] = server.fileRequests;
    expect(first!.range).toBeUndefined();
    expect(further.length).toBeGreaterThanOrEqual(2);
    for (const { range, ifRange } of further) {
      expect(range).toMatch(/^bytes=\d{7,8}-(\d{8})?$/);
      expect(ifRange).toBe('"v1-disk.bin"');
    }
  });

  test("gets one connection when it is smaller, or when that is what is asked for", async () => {
    server.addFile("small.bin", share - 1);
    await downloadItem(client, {
      itemId: "item",
      directory: directory.path,
      files: ["small.bin"],
      connections: 4,
    });
    await downloadItem(client, { itemId: "item", directory: directory.path, connections: 1 });
    expect(server.fileRequests.map(({ range }) => range)).toEqual([undefined, undefined]);
  });

  test("gets several by default when its first bytes take long and few follow", async () => {
    server.everyFault = { delayMs: 60, bytesPerSecond: 20_000_000 };
    await downloadItem(client, { itemId: "item", directory: directory.path });
    await expectWhole();
    expect(server.fileRequests.filter(isFurther)).not.toEqual([]);
  });

  test("shares its connections with the other files of the item", async () => {
    server.addFile("other.bin", size);
    server.everyFault = { bytesPerSecond: 80_000_000 };
    let most = 0;
    server.onFileRequest = () => {
      most = Math.max(most, server.fileRequests.filter(({ isOver }) => !isOver).length);
    };
    await download({ parallel: 2, connections: 2 });
    expect(most).toBe(2);
  });

  test("is held to the rate by all its connections together", async () => {
    const startedAt = performance.now();
    await download({ maxBytesPerSecond: size * 2 });
    await expectWhole();
    expect(performance.now() - startedAt).toBeGreaterThan(350);
  });

  test("can't have no connection, a part of one, or too many", async () => {
    for (const connections of [0, 1.5, 17]) {
      await expect(download({ connections })).rejects.toThrow("connections must be 1 to 16");
    }
  });
});

describe("further connections", () => {
  test("that the server refuses are no failure, and are not tried again and again", async () => {
    failFurther({ status: 503, headers: { "retry-after": "1" } });
    const notices = new Set<string | undefined>();
    await download({ patienceMs: 0, onProgress: ({ notice }) => void notices.add(notice) });
    await expectWhole();
    expect([...notices]).toEqual([undefined]);
    expect(server.fileRequests.length).toBeLessThanOrEqual(6);
  });

  test.each<[string, Fault]>([
    ["refuses", { status: 503 }],
    ["answers with the whole file", { ignoreRange: true }],
  ])("that the server always %s cost the first one neither its place nor its bytes", async (_, fault) => {
    server.faultOf = ({ range }) => (range === undefined ? { bytesPerSecond: 3 * size } : fault);
    const { bytesFetched } = await download({ patienceMs: 0 });
    await expectWhole();
    expect(bytesFetched).toBe(size);
    expect(server.fileRequests.length).toBeLessThanOrEqual(3);
  });

  test.each<[string, Fault]>([
    ["the whole file", { ignoreRange: true }],
    ["another range", { shiftRange: 1 }],
    ["another version", { headers: { etag: '"other"' } }],
    ["a longer range", { surplus: 5 }],
    ["no range", { status: 416 }],
    ["something else", { status: 418 }],
  ])("that get %s mix nothing in, and the first one goes on", async (_, fault) => {
    // One that ends last, alone, would start the file over.
    failFurther(fault, ({ isOver }) => isOver);
    const { bytesFetched } = await download({ patienceMs: 2_000 });
    await expectWhole();
    expect(bytesFetched).toBeLessThan(size + 2 * share);
  });

  test.each<[string, Record<string, string>]>([
    ["without a strong ETag", { etag: 'W/"v1"' }],
    ["without Accept-Ranges", { "accept-ranges": "none" }],
  ])("are not opened %s", async (_, headers) => {
    server.everyFault = { headers };
    await download();
    expect(server.fileRequests).toHaveLength(1);
    await expectWhole();
  });

  test.each<[string, Fault]>([
    ["cut", { cutAfter: 3 * mebibyte }],
    ["silent", { stallAfter: 3 * mebibyte }],
    ["too short", { contentLength: 3 * mebibyte }],
  ])("that are %s leave their range to the others", async (_, fault) => {
    failFurther(fault);
    const { bytesFetched } = await download({ idleMs: 300, patienceMs: 2_000 });
    await expectWhole();
    expect(bytesFetched).toBe(size);
  });

  test("survive a server that is restarted, and a session that is replaced", async () => {
    stallFirst();
    let isCut = false;
    const crash = async () => {
      server.expireSessions();
      await server.crash();
      await server.listen();
    };
    const onProgress = ({ bytesDone }: DownloadProgress) => {
      if (isCut || bytesDone < size / 2) return;
      isCut = true;
      server.faultOf = () => undefined;
      void crash();
    };
    const { bytesFetched } = await download({ onProgress });
    await expectWhole();
    expect(server.created).toBe(2);
    expect(bytesFetched).toBe(size);
  });

  test("get no byte of a version that replaces the file meanwhile", async () => {
    stallFirst();
    let isChanged = false;
    const onProgress = ({ bytesDone }: DownloadProgress) => {
      if (isChanged || bytesDone < size / 2) return;
      isChanged = true;
      server.faultOf = () => undefined;
      bytes = server.addFile("disk.bin", size, "another");
      server.contentVersion = "v2";
      server.cut();
    };
    await download({ onProgress });
    await expectWhole();
  });

  test("that bring a wrong byte have the file fetched once more", async () => {
    failFurther({ flipAt: size - 1 });
    const { bytesFetched } = await download();
    await expectWhole();
    expect(bytesFetched).toBe(2 * size);
  });
});

describe("a partial file with a gap", () => {
  test("is resumed with what is missing, by one connection or several", async () => {
    await downloadWithGap();
    const { bytesFetched } = await download({ connections: 1 });
    await expectWhole();
    expect(bytesFetched).toBeLessThanOrEqual(share);
    const ranges = server.fileRequests.map(({ range }) => range);
    expect(ranges[0]).toMatch(/^bytes=\d{7}-\d{7,8}$/);
    expect(server.fileRequests[0]!.ifRange).toBe('"v1-disk.bin"');
  });

  test("that is shorter than its state says is filled up", async () => {
    await downloadWithGap();
    await truncate(join(directory.path, "disk.bin.part"), 2 * share);
    const { bytesFetched } = await download();
    await expectWhole();
    expect(bytesFetched).toBeGreaterThan(size - 2 * share);
    expect(bytesFetched).toBeLessThan(size);
  });

  test("is started over when its state is lost", async () => {
    await downloadWithGap();
    await writeFile(await statePath(), "{}");
    expect((await download()).bytesFetched).toBe(size);
    await expectWhole();
  });

  test("that is damaged behind the gap is detected", async () => {
    await downloadWithGap();
    const { parts } = JSON.parse(await readFile(await statePath(), "utf8"));
    await using part = await open(join(directory.path, "disk.bin.part"), "r+");
    await part.write("wrong", parts[0].ranges.at(-1)[0]);
    const { bytesFetched } = await download();
    await expectWhole();
    expect(bytesFetched).toBeGreaterThan(size);
  });

  test("is marked in its state before the first byte behind a gap is written", async () => {
    await using handle = await open(join(directory.path, "x"), "w");
    const files = Object.getPrototypeOf(handle) as FileHandle;
    const { writev } = files;
    const states: unknown[] = [];
    vi.spyOn(files, "writev").mockImplementation(async function (this: FileHandle, chunks, at) {
      if (at! >= share) states.push(JSON.parse(await readFile(await statePath(), "utf8")));
      return await writev.call(this, chunks, at);
    });
    await download();
    expect(states[0]).toMatchObject({ version: 2, parts: [{ ranges: expect.any(Array) }] });
  });

  test("stays when the disk is full, and is resumed when there is room", async () => {
    await using handle = await open(join(directory.path, "x"), "w");
    const files = Object.getPrototypeOf(handle) as FileHandle;
    const { writev } = files;
    let written = 0;
    const spy = vi.spyOn(files, "writev").mockImplementation(async function (this: FileHandle, chunks, at) {
      if (written > size / 2) throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      const result = await writev.call(this, chunks, at);
      written += result.bytesWritten;
      return result;
    });
    await expect(download()).rejects.toMatchObject({ reason: "disk", message: /disk is full/ });
    spy.mockRestore();
    const { bytesFetched } = await download();
    expect(bytesFetched).toBe(size - written);
  });

  test("is saved while it grows", async () => {
    stallFirst();
    const abort = new AbortController();
    const running = download({ signal: abort.signal }).catch(() => {});
    await eventually("the state to have the last bytes", async () => {
      const { parts } = JSON.parse(await readFile(await statePath(), "utf8"));
      return parts[0]?.ranges?.at(-1)?.[1] === size;
    });
    abort.abort();
    await running;
  });
});
