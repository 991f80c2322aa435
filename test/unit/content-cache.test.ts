import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { chmod, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { maxRests } from "../../src/content/cache/block-fill.ts";
import { BlockIndex } from "../../src/content/cache/block-index.ts";
import { blockBytes, type CacheFailure } from "../../src/content/cache/blocks.ts";
import { CachedContentSource } from "../../src/content/cache/cached-content-source.ts";
import { inspectCache } from "../../src/content/cache/inspect.ts";
import { ContentChangedError, type ContentFile } from "../../src/domain/content-source.ts";
import { bytesOf } from "../support/content-files.ts";
import { eventually } from "../support/eventually.ts";
import { StorageFile, sourceOf } from "../support/located-source.ts";
import { startProcess } from "../support/process.ts";
import { smallDisk } from "../support/small-disk.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const size = 3 * blockBytes + 300_000;
let directory: TempDir;
let path: string;
let file: StorageFile;
const opened: CachedContentSource[] = [];

beforeEach(async () => {
  directory = await tempDir();
  path = join(directory.path, "cache");
  file = new StorageFile(size);
});
afterEach(async () => {
  for (const source of opened.splice(0)) await source[Symbol.asyncDispose]();
  await directory.remove();
});

interface Cache {
  readonly source: CachedContentSource;
  readonly warnings: string[];
  readonly failures: CacheFailure[];
  readonly outcomes: Record<string, number>;
  evicted: number;
  used(): number;
  open(which?: StorageFile, isIdle?: boolean): Promise<ContentFile>;
  forgotten: string[];
}

async function openCache({
  limit = 1e9,
  at = path,
  files = {} as Record<string, StorageFile>,
} = {}): Promise<Cache> {
  const all: Record<string, StorageFile> = { ...files };
  const inner = sourceOf(all);
  const cache = {
    warnings: [] as string[],
    failures: [] as CacheFailure[],
    outcomes: {} as Record<string, number>,
    evicted: 0,
    used: () => 0,
    forgotten: inner.forgotten,
  };
  const source = await CachedContentSource.open(inner, {
    path: at,
    limit,
    warn: (message) => cache.warnings.push(message),
    observer: {
      entered: (outcome) => {
        cache.outcomes[outcome] = (cache.outcomes[outcome] ?? 0) + 1;
      },
      served() {},
      fetched() {},
      evicted: (blocks) => {
        cache.evicted += blocks;
      },
      failed: (reason) => cache.failures.push(reason),
      opened: ({ used }) => {
        cache.used = used;
      },
    },
  });
  opened.push(source);
  return Object.assign(cache, {
    source,
    open: async (which: StorageFile = file, isIdle = false) => {
      all[which.identity] = which;
      return (await source.openFile(which.identity, "disk", which.identity, isIdle))!;
    },
  });
}

/** Reads a file whole or in part, and compares what comes with the storage's bytes. */
async function download(cache: Cache, which = file, range = { start: 0, end: which.bytes.length - 1 }) {
  await using opened = await cache.open(which);
  const bytes = await bytesOf(opened, range, 65_536 * 3);
  expect(Buffer.compare(bytes, which.bytes.subarray(range.start, range.end + 1))).toBe(0);
}

/** Paths of the files of the cache below one of its folders. */
function filesIn(folder: string, at = path): string[] {
  const place = join(at, "downlease-blocks", folder);
  const entries = readdirSync(place, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Bytes of the files in some folders; a file that is renamed meanwhile counts once. */
function bytesIn(...folders: readonly string[]): number {
  const sizes = new Map<number, number>();
  for (const each of folders.flatMap((folder) => filesIn(folder))) {
    const stats = statSync(each, { throwIfNoEntry: false });
    if (stats !== undefined) sizes.set(stats.ino, stats.size);
  }
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
}

describe("a file", () => {
  test("is fetched once, by one request, and read from the cache after that", async () => {
    const cache = await openCache();
    await download(cache);
    expect(file.fetches).toMatchObject([{ start: 0, end: size - 1, given: size }]);
    for (let round = 0; round < 2; round++) await download(cache);
    await download(cache, file, { start: blockBytes - 7, end: 2 * blockBytes + 70_001 });
    expect(file.fetches).toHaveLength(1);
    expect(cache.used()).toBe(size);
    expect(cache.outcomes).toEqual({ miss: 4, hit: 11 });
    expect(filesIn("filling")).toEqual([]);
  });

  test("stays in the cache when the service ends, and is that of its version only", async () => {
    await download(await openCache());
    await opened.splice(0)[0]![Symbol.asyncDispose]();
    const cache = await openCache();
    await download(cache);
    expect(file.fetches).toHaveLength(1);
    const next = new StorageFile(size);
    await download(cache, next);
    expect(next.fetched).toBe(size);
  });

  test("is fetched once for many readers who come at a time", async () => {
    const cache = await openCache();
    await Promise.all(Array.from({ length: 50 }, () => download(cache)));
    expect(file.fetches).toHaveLength(1);
    expect(file.fetched).toBe(size);
  });

  test("is fetched once in ranges of any size, in any order", async () => {
    const cache = await openCache();
    const cuts = [0, 700_001, 1_999_999, blockBytes, 3_333_333, 5_000_000, size];
    const ranges = cuts.slice(1).map((cut, index) => ({ start: cuts[index]!, end: cut - 1 }));
    await Promise.all(ranges.toReversed().map((range) => download(cache, file, range)));
    // A block that one reader leaves while nobody else has come is fetched to its end all the same.
    await eventually(
      "every block to be cached",
      () => cache.used() === size && filesIn("filling").length === 0,
    );
    expect(file.fetched).toBe(size);
    for (const range of ranges) await download(cache, file, range);
    expect(file.fetched).toBe(size);
  });

  test("has the rest of a block fetched that a range ends in, so that the range is complete the next time", async () => {
    const cache = await openCache();
    const range = { start: 0, end: 99_999 };
    await download(cache, file, range);
    await eventually("the block to be cached", () => cache.used() === blockBytes && bytesIn("blocks") > 0);
    await download(cache, file, range);
    expect([file.fetches.length, file.fetched]).toEqual([1, blockBytes]);
  });

  test("is given to its first reader as it comes", async () => {
    const cache = await openCache();
    const gate = Promise.withResolvers<void>();
    file.onRead = (position) => (position >= 200_000 ? gate.promise : undefined);
    await using opened = await cache.open();
    const reader = opened.reader();
    for (let read = 0; read < 200_000; ) read += await reader.read(new Uint8Array(65_536));
    gate.resolve();
  });

  test("that has changed in the storage is reported as changed, and forgotten", async () => {
    const cache = await openCache();
    file.onRead = (position) => {
      if (position >= blockBytes) throw new ContentChangedError("changed");
    };
    await expect(download(cache)).rejects.toThrow(ContentChangedError);
    expect(cache.forgotten).toEqual([file.identity]);
  });

  test("that is shorter in the storage is never cached", async () => {
    const cache = await openCache();
    await using opened = await cache.open();
    file.bytes = file.bytes.subarray(0, blockBytes + 5);
    await expect(bytesOf(opened)).rejects.toThrow(ContentChangedError);
    await eventually("the fetch to end", () => filesIn("filling").length === 0);
    expect(cache.used()).toBe(blockBytes);
  });
});

describe("a reader", () => {
  test("that stops does not hold up others, and is not held up by them", async () => {
    const cache = await openCache();
    await using slow = await cache.open();
    const reader = slow.reader();
    await reader.read(new Uint8Array(10));
    await download(cache);
    expect(file.fetches).toHaveLength(1);
    const rest = await readOn(reader, size - 10);
    expect(Buffer.compare(rest, file.bytes.subarray(10))).toBe(0);
    expect(file.fetched).toBe(size);
  });

  test("fetches no further than it reads", async () => {
    const cache = await openCache();
    await using one = await cache.open();
    await one.reader().read(new Uint8Array(65_536));
    expect(file.fetched).toBe(65_536);
  });

  test("of a few bytes leaves the rest of its block to a bounded number of fetches", async () => {
    const cache = await openCache();
    const files = Array.from({ length: maxRests + 5 }, () => new StorageFile(1_000));
    for (const each of files) {
      each.onRead = (position) => (position === 0 ? undefined : new Promise(() => {}));
      await using opened = await cache.open(each);
      await opened.reader({ start: 0, end: 0 }).read(new Uint8Array(1));
    }
    await eventually("the other fetches to end", () => cache.used() === maxRests * 1_000);
    expect(files.filter(({ fetches }) => !fetches[0]!.isClosed)).toHaveLength(maxRests);
  });

  test("that goes away leaves the fetch to others; the last one ends it", async () => {
    const cache = await openCache();
    const gate = Promise.withResolvers<void>();
    file.onRead = (position) => (position > 0 ? gate.promise : undefined);
    const [first, second] = [await cache.open(), await cache.open()];
    const [leaving, staying] = [first.reader(), second.reader()];
    await leaving.read(new Uint8Array(10));
    await staying.read(new Uint8Array(10));
    const [cut, running] = [leaving.read(new Uint8Array(10)), staying.read(new Uint8Array(10))];
    cut.catch(() => {});
    const closing = first.close();
    gate.resolve();
    await closing;
    await expect(cut).rejects.toThrow("the file is closed");
    expect(await running).toBe(10);
    expect(file.fetches).toMatchObject([{ isClosed: false }]);
    await second.close();
    expect(file.fetches).toMatchObject([{ isClosed: true }]);
    await expect(staying.read(new Uint8Array(10))).rejects.toThrow("the file is closed");
    expect([filesIn("filling"), cache.used()]).toEqual([[], 0]);
    await download(cache);
  });

  test("that is closed ends a fetch that stands still", async () => {
    const cache = await openCache();
    file.onRead = () => new Promise(() => {});
    const one = await cache.open();
    const reading = one.reader().read(new Uint8Array(10));
    const refused = expect(reading).rejects.toThrow("the file is closed");
    await eventually("the request", () => file.fetches.length === 1);
    await one.close();
    await refused;
  });

  test("gets the error of the fetch, as all do that wait for it; the next one tries again", async () => {
    const cache = await openCache();
    file.onRead = async () => {
      throw new Error("no storage");
    };
    const files = await Promise.all(Array.from({ length: 5 }, () => cache.open()));
    const reads = await Promise.allSettled(files.map((each) => each.reader().read(new Uint8Array(10))));
    expect(reads.every(({ status }) => status === "rejected")).toBe(true);
    expect(file.fetches).toHaveLength(1);
    for (const each of files) await each.close();
    file.onRead = () => {};
    await download(cache);
  });
});

describe("the limit", () => {
  const limit = 5 * blockBytes;

  test("holds at every moment, also for several processes that write at a time", async () => {
    const caches = [await openCache({ limit }), await openCache({ limit })];
    const files = Array.from({ length: 6 }, () => new StorageFile(2 * blockBytes));
    let most = 0;
    const look = setInterval(() => {
      most = Math.max(most, bytesIn("filling", "blocks"));
    }, 1);
    await Promise.all(files.map((each, index) => download(caches[index % 2]!, each)));
    clearInterval(look);
    expect(most).toBeGreaterThan(blockBytes);
    expect(most).toBeLessThanOrEqual(limit);
    expect(bytesIn("blocks")).toBe(caches[0]!.used());
    expect(caches[0]!.evicted + caches[1]!.evicted).toBeGreaterThan(0);
  });

  test("is kept by removing what was not used for the longest time", async () => {
    const cache = await openCache({ limit });
    const [a, b, c, d] = Array.from({ length: 4 }, () => new StorageFile(2 * blockBytes));
    for (const each of [a, b, a, c]) await download(cache, each);
    for (const each of [c, a]) await download(cache, each);
    expect([a!.fetches.length, c!.fetches.length, cache.evicted]).toEqual([1, 1, 1]);
    await download(cache, d);
    await download(cache, a);
    await download(cache, b);
    expect([a!.fetches.length, b!.fetches.length]).toEqual([1, 2]);
  });

  test("is no reason to remove anything for a reader that nobody waits for", async () => {
    const cache = await openCache({ limit });
    await download(cache, new StorageFile(2 * blockBytes));
    await using scan = await cache.open(file, true);
    expect(Buffer.compare(await bytesOf(scan), file.bytes)).toBe(0);
    // Three of its blocks have room, and so has the last one no more.
    expect([cache.evicted, cache.used()]).toEqual([0, limit]);
    expect(cache.outcomes).toMatchObject({ bypass: 1 });
  });

  test("is kept at the start", async () => {
    await download(await openCache());
    const cache = await openCache({ limit: 2 * blockBytes });
    expect(bytesIn("blocks")).toBeLessThanOrEqual(2 * blockBytes);
    expect(cache.used()).toBe(bytesIn("blocks"));
  });

  test("is not taken by a block that can't be listed, or removed", async () => {
    const cache = await openCache({ limit });
    await download(cache);
    using index = new BlockIndex(join(path, "downlease-blocks", "index.db"), "another");
    const reserve = () => index.reserve(limit, limit, true);
    const victims = await reserve();
    expect(victims).toHaveLength(4);
    expect(await reserve()).toEqual(victims);
    using database = new DatabaseSync(join(path, "downlease-blocks", "index.db"));
    database.exec("CREATE TRIGGER full BEFORE INSERT ON blocks BEGIN SELECT RAISE(ABORT, 'full'); END");
    await download(cache, new StorageFile(10_000));
    expect([cache.failures, cache.used()]).toEqual([["index"], size]);
    expect(bytesIn("filling", "blocks")).toBe(size);
  });

  test("that is too small for the readers of a moment makes them read past the cache", async () => {
    const cache = await openCache({ limit: blockBytes });
    await using holding = await cache.open();
    await holding.reader().read(new Uint8Array(10));
    const other = new StorageFile(size);
    await download(cache, other);
    expect(cache.outcomes).toMatchObject({ miss: 5, bypass: 4 });
    expect(other.fetches).toHaveLength(1);
    expect(other.fetched).toBe(size);
  });

  test("does not take a block from its reader", async () => {
    const cache = await openCache({ limit });
    await download(cache);
    await using held = await cache.open();
    const reader = held.reader();
    await reader.read(new Uint8Array(10));
    for (let round = 0; round < 2; round++) await download(cache, new StorageFile(limit));
    const fetches = file.fetches.length;
    const rest = await readOn(reader, blockBytes - 10);
    expect(Buffer.compare(rest, file.bytes.subarray(10, blockBytes))).toBe(0);
    expect(file.fetches.length).toBe(fetches);
  });
});

describe("a damaged cache", () => {
  test.each([
    ["a byte", (block: string) => writeFileSync(block, flipped(readFileSync(block)))],
    ["the end", (block: string) => truncateSync(block, 100_000)],
    ["all bytes", (block: string) => truncateSync(block, 0)],
    ["the file", (block: string) => rmSync(block)],
    [
      "all but a directory",
      (block: string) => {
        rmSync(block);
        mkdirSync(join(block, "x"), { recursive: true });
      },
    ],
  ])("never gives wrong bytes: blocks that have lost %s are fetched again", async (_, damage) => {
    const cache = await openCache();
    await download(cache);
    for (const block of filesIn("blocks")) damage(block);
    await download(cache);
    expect(file.fetched).toBeGreaterThan(size);
    const { fetched } = file;
    await download(cache);
    expect(file.fetched).toBe(fetched);
    expect(cache.used()).toBe(size);
    expect(cache.warnings).toEqual([]);
  });

  test.each(["index.db", "index.db-wal"])("is emptied when its %s is of no use", async (name) => {
    await download(await openCache());
    await opened.splice(0)[0]![Symbol.asyncDispose]();
    rmSync(join(path, "downlease-blocks", "index.db-wal"), { force: true });
    writeFileSync(join(path, "downlease-blocks", name), "x".repeat(10_000));
    const cache = await openCache();
    await download(cache);
    expect(cache.used()).toBe(bytesIn("blocks"));
  });

  test("that an operator empties fills again", async () => {
    const cache = await openCache();
    await download(cache);
    rmSync(join(path, "downlease-blocks"), { recursive: true });
    await download(cache);
    await download(cache);
    expect(file.fetched).toBe(2 * size);
    expect(cache.warnings).toEqual([]);
  });

  test("whose disk is full is done without, with one warning, and not tried by every reader", async () => {
    await using disk = await smallDisk(2 * blockBytes);
    if (disk.prefix.length > 0) return;
    const cache = await openCache({ at: disk.path });
    await Promise.all([download(cache), download(cache)]);
    const failures = cache.failures.length;
    await download(cache);
    expect(cache.failures).toHaveLength(failures);
    expect(cache.warnings).toEqual([expect.stringContaining("the disk of the cache directory is full")]);
    expect(cache.failures).toContain("write");
    expect(cache.outcomes.bypass).toBeGreaterThan(0);
  });
});

test("a process that is killed leaves whole blocks, and nothing else once another one starts", async () => {
  const script = fileURLToPath(new URL("../support/cache-writer.ts", import.meta.url));
  const writer = await startProcess(process.execPath, [script, path]);
  try {
    await eventually("a block and a half", () => writer.stdout.includes("half"), { withinMs: 20_000 });
    const beside = await openCache();
    expect([bytesIn("blocks"), bytesIn("filling")]).toEqual([blockBytes, blockBytes / 2]);
    expect(beside.used()).toBe(2 * blockBytes);
  } finally {
    await writer.kill();
  }
  const after = await openCache();
  expect([bytesIn("blocks"), filesIn("filling"), after.used()]).toEqual([blockBytes, [], blockBytes]);
  await download(after);
});

describe("a directory", () => {
  test("is made for the service's user only", async () => {
    await download(await openCache());
    const modes = (place: string) => (statSync(place).mode & 0o777).toString(8);
    const own = join(path, "downlease-blocks");
    expect([modes(path), modes(own), modes(filesIn("blocks")[0]!)]).toEqual(["700", "700", "600"]);
    expect(modes(join(own, "index.db"))).toBe("600");
  });

  test("that others can use, or that is a link, is refused", async () => {
    await mkdir(join(path, "downlease-blocks"), { recursive: true });
    await chmod(join(path, "downlease-blocks"), 0o755);
    await expect(openCache()).rejects.toThrow(/^the cache directory can't be used: other users can use /);
    writeFileSync(join(path, "downlease-blocks", "file"), "x");
    const linked = join(directory.path, "linked");
    await mkdir(linked);
    await symlink(directory.path, join(linked, "downlease-blocks"));
    await expect(openCache({ at: linked })).rejects.toThrow(/ is not a directory$/);
    // The last one is in a file system that has no new folders.
    for (const at of [join(path, "downlease-blocks", "file", "below"), "/proc/downlease/cache"])
      await expect(openCache({ at })).rejects.toThrow("the cache directory can't be used");
  });

  test("is looked at before the start, and nothing is made", async () => {
    const look = (limit: number) => inspectCache({ path, limit });
    expect(await look(1)).toEqual([expect.objectContaining({ status: "ok" })]);
    expect((await look(2 ** 60)).map(({ status }) => status)).toEqual(["ok", "warning"]);
    expect(readdirSync(directory.path)).toEqual([]);
    await openCache();
    expect(await look(1)).toEqual([expect.objectContaining({ status: "ok" })]);
    await chmod(join(path, "downlease-blocks"), 0o777);
    await expect(look(1)).rejects.toThrow(/^other users can use /);
  });

  test("keeps files of others", async () => {
    await mkdir(path);
    writeFileSync(join(path, "mine"), "x");
    await openCache();
    expect(readFileSync(join(path, "mine"), "utf8")).toBe("x");
  });
});

function flipped(bytes: Buffer): Buffer {
  const at = Math.floor(bytes.length / 2);
  bytes[at] = bytes[at]! ^ 1;
  return bytes;
}

async function readOn(reader: { read(into: Uint8Array): Promise<number> }, count: number): Promise<Buffer> {
  const all = Buffer.alloc(count);
  for (let done = 0; done < count; ) {
    const bytes = await reader.read(all.subarray(done, done + 65_536));
    if (bytes === 0) break;
    done += bytes;
  }
  return all;
}
