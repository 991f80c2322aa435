import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ChecksumAlgorithm, ContentChangedError } from "../../src/domain/content-source.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { Preparation } from "../../src/domain/preparation.ts";
import { directBytes } from "../../src/preparation/checksums.ts";
import { Hasher } from "../../src/preparation/hasher.ts";
import { DirectHashing, HashingFailed } from "../../src/preparation/hashing.ts";
import type { PreparationEnd } from "../../src/preparation/observer.ts";
import { type PreparationTerms, SharedPreparations } from "../../src/preparation/shared-preparations.ts";
import { eventually } from "../support/eventually.ts";
import { digestOf, MemoryContent } from "../support/memory-content.ts";
import { MemoryPreparationStore } from "../support/memory-preparation-store.ts";

let store: MemoryPreparationStore;
let content: MemoryContent;
let processes: SharedPreparations[];
let ends: PreparationEnd[];
let bytesRead: number;
let running: number;

beforeEach(() => {
  store = new MemoryPreparationStore();
  content = new MemoryContent();
  processes = [];
  ends = [];
  bytesRead = running = 0;
});
afterEach(async () => {
  await Promise.all(processes.map((preparations) => preparations.close()));
  await eventually("every file to be closed", () => content.openNow === 0);
});

/** One of the processes that use the store. Waits long, so that what is itemFile at once is a result. */
function newProcess(terms: Partial<PreparationTerms> = {}, hasher = new Hasher()): SharedPreparations {
  const preparations = new SharedPreparations({
    store,
    content: content.source,
    hasher,
    terms: { startWaitMs: 10_000, reportMs: 20, claimMs: 15_000, ...terms },
    observer: {
      began: () => void running++,
      read: (bytes) => {
        bytesRead += bytes;
      },
      ended: (end) => {
        running--;
        ends.push(end);
      },
    },
  });
  processes.push(preparations);
  return preparations;
}

/** A script in place of the thread's. */
const threadOf = (code: string) => new URL(`data:text/javascript,${encodeURIComponent(code)}`);

const brokenThread = threadOf(`
  import { parentPort } from "node:worker_threads";
  parentPort.on("message", ({ type }) => { if (type === "end") throw new Error("broken"); });
`);

const withoutWait = { startWaitMs: 0 };
const mebi = 1024 * 1024;

/** A gate that readers wait at. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

const statusOf = ({ status }: Preparation) => status;

describe("a file is hashed", () => {
  test.each([0, 1, mebi - 1, mebi, mebi + 1, 5 * mebi + 7])("of %i bytes", async (size) => {
    const bytes = randomBytes(size);
    const { file, itemFile } = content.add("disk", { bytes });
    const digests = { SHA256: digestOf("SHA256", bytes) };
    expect(await newProcess().start(file, itemFile, false)).toEqual({ status: "PREPARED", digests });
    expect(bytesRead).toBe(size);
    expect(ends).toMatchObject([{ outcome: "prepared", file }]);
    expect(running).toBe(0);
  });

  test("with every algorithm that the manifest has, in one pass", async () => {
    const bytes = randomBytes(3 * mebi);
    const all: ChecksumAlgorithm[] = ["MD5", "SHA1", "SHA256", "SHA512"];
    const checksums = Object.fromEntries(all.map((algorithm) => [algorithm, digestOf(algorithm, bytes)]));
    const { file, itemFile } = content.add("disk", { bytes, checksums });
    expect(await newProcess().start(file, itemFile, false)).toEqual({
      status: "PREPARED",
      digests: checksums,
    });
    expect(content.opened).toEqual(["disk"]);
  });

  test("that comes in small pieces of odd lengths", async () => {
    const bytes = randomBytes(2 * mebi + 5);
    content.maxReadBytes = 70_001;
    const { file, itemFile } = content.add("disk", { bytes });
    const digests = { SHA256: digestOf("SHA256", bytes) };
    expect(await newProcess().start(file, itemFile, false)).toEqual({ status: "PREPARED", digests });
  });

  test("beside others, each right", async () => {
    const preparations = newProcess({ jobs: 3 });
    const files = Array.from({ length: 20 }, (_, n) => {
      const bytes = randomBytes(n * 123_457);
      return { ...content.add(`disk-${n}`, { bytes }), digest: digestOf("SHA256", bytes) };
    });
    const results = await Promise.all(
      files.map(({ file, itemFile }) => preparations.start(file, itemFile, false)),
    );
    expect(results).toEqual(files.map(({ digest }) => ({ status: "PREPARED", digests: { SHA256: digest } })));
  });
});

describe("a result", () => {
  test("is kept for every process", async () => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10) });
    const result = await newProcess().start(file, itemFile, false);
    expect(await newProcess().start(file, itemFile, true)).toEqual(result);
    expect(await newProcess().find([file, { ...file, contentVersion: "v0" }])).toEqual([
      result,
      { status: "UNPREPARED" },
    ]);
    expect(content.opened).toHaveLength(1);
  });

  test("is not read for an empty list", async () => {
    expect(await newProcess().find([])).toEqual([]);
    expect(store.calls).toEqual({});
  });
});

describe("one job a file", () => {
  test("in a process, for all callers", async () => {
    const preparations = newProcess();
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(2 * mebi) });
    const starts = Array.from({ length: 10 }, (_, n) => preparations.start(file, itemFile, n % 2 === 0));
    expect(new Set((await Promise.all(starts)).map(statusOf))).toEqual(new Set(["PREPARED"]));
    expect(content.opened).toEqual(["disk"]);
  });

  test("over all processes, which see its progress", async () => {
    const { opened, open } = gate();
    const bytes = randomBytes(2 * mebi);
    const { file, itemFile } = content.add("disk", { bytes, onRead: (at) => (at > 0 ? opened : undefined) });
    content.maxReadBytes = mebi;
    const [first, second] = [newProcess(withoutWait), newProcess(withoutWait)];
    await first.start(file, itemFile, false);
    const half = { status: "PREPARING", bytesDone: mebi };
    await eventually("half of it to be itemFile", async () => {
      expect(await second.find([file])).toEqual([half]);
      return true;
    });
    expect(await second.start(file, itemFile, true)).toEqual(half);
    expect(await first.start(file, itemFile, true)).toEqual(half);
    expect(running).toBe(1);
    open();
    await eventually("the result", async () => statusOf((await second.find([file]))[0]!) === "PREPARED");
    expect(content.opened).toEqual(["disk"]);
    expect(ends).toMatchObject([{ outcome: "prepared" }]);
  });

  test("and a bounded number of jobs at a time: the others are REQUESTED", async () => {
    const { opened, open } = gate();
    const preparations = newProcess({ jobs: 2, ...withoutWait });
    const files = ["a", "b", "c", "d"].map((name) =>
      content.add(name, { bytes: randomBytes(10), onRead: () => opened }),
    );
    for (const { file, itemFile } of files) await preparations.start(file, itemFile, false);
    await eventually("two to be open", () => content.opened.length === 2);
    const looked = await preparations.find(files.map(({ file }) => file));
    expect(looked.map(statusOf)).toEqual([
      "PREPARING",
      "PREPARING",
      "PREPARE_REQUESTED",
      "PREPARE_REQUESTED",
    ]);
    expect(await preparations.start(files[3]!.file, files[3]!.itemFile, true)).toEqual({
      status: "PREPARE_REQUESTED",
    });
    open();
    await eventually("all to be prepared", () => ends.length === 4);
    expect(content.opened).toEqual(["a", "b", "c", "d"]);
  });

  test("and small files do not wait for large ones", async () => {
    const { opened, open } = gate();
    const preparations = newProcess({ jobs: 1 });
    const large = content.add("large", { bytes: new Uint8Array(17 * mebi), onRead: () => opened });
    const small = content.add("small", { bytes: randomBytes(10) });
    expect(statusOf(await preparations.start(large.file, large.itemFile, false))).toBe("PREPARE_REQUESTED");
    expect(statusOf(await preparations.start(small.file, small.itemFile, false))).toBe("PREPARED");
    open();
    await eventually("the large one", () => ends.length === 2);
  });
});

describe("a claim", () => {
  test("of a process that died lapses, and the next call starts over", async () => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10) });
    await store.claim(file, "dead", 100);
    const preparations = newProcess();
    expect(await preparations.start(file, itemFile, false)).toEqual({ status: "PREPARING", bytesDone: 0 });
    await eventually(
      "the file to be prepared",
      async () => statusOf(await preparations.start(file, itemFile, false)) === "PREPARED",
    );
    expect(content.opened).toEqual(["disk"]);
  });

  test("that is lost ends the job, and its result is dropped", async () => {
    const { opened, open } = gate();
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10), onRead: () => opened });
    const preparations = newProcess(withoutWait);
    await preparations.start(file, itemFile, false);
    await eventually("the file to be open", () => content.openNow === 1);
    store.forget(file);
    await store.claim(file, "another", 60_000);
    const { report: before = 0 } = store.calls;
    await eventually("a report", () => (store.calls.report ?? 0) > before);
    open();
    await eventually("the job to end", () => ends.length === 1);
    expect(ends).toMatchObject([{ outcome: "lost" }]);
    expect(await store.report(file, "another", 5, 60_000)).toBe(true);
    expect(await preparations.find([file])).toEqual([{ status: "PREPARING", bytesDone: 5 }]);
  });

  test("lives while its file is read slowly", async () => {
    const { opened, open } = gate();
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10), onRead: () => opened });
    const preparations = newProcess({ claimMs: 1000, reportMs: 20, ...withoutWait });
    await preparations.start(file, itemFile, false);
    await eventually("reports for longer than a claim holds", () => (store.calls.report ?? 0) > 60);
    open();
    await eventually("the job to end", () => ends.length === 1);
    expect(ends).toMatchObject([{ outcome: "prepared" }]);
  });

  test("is given back when the process stops, and another process starts over", async () => {
    const { opened, open } = gate();
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10), onRead: () => opened });
    const waiting = content.add("waiting", { bytes: randomBytes(10), onRead: () => opened });
    const first = newProcess({ jobs: 1, ...withoutWait });
    await first.start(file, itemFile, false);
    await first.start(waiting.file, waiting.itemFile, false);
    await eventually("the file to be open", () => content.openNow === 1);
    await first.close();
    expect(await store.find([file, waiting.file])).toEqual([undefined, undefined]);
    await expect(first.start(file, itemFile, false)).rejects.toThrow("shutting down");
    open();
    expect(statusOf(await newProcess().start(file, itemFile, false))).toBe("PREPARED");
    await eventually("the first job to end", () => ends.length === 2);
    expect(ends.map(({ outcome }) => outcome).sort()).toEqual(["interrupted", "prepared"]);
    expect(content.opened).toEqual(["disk", "disk"]);
  });
});

describe("a file that fails", () => {
  const failed = (messageId: string, ...args: string[]) => ({ status: "ERROR", messageId, args });

  test.each(["MD5", "SHA1", "SHA256", "SHA512"] as const)("does not match its %s", async (algorithm) => {
    const bytes = randomBytes(100);
    const itemFile = digestOf(algorithm, randomBytes(1));
    const { file, itemFile: toldFile } = content.add("disk", { bytes, checksums: { [algorithm]: itemFile } });
    expect(await newProcess().start(file, toldFile, false)).toEqual(
      failed("downlease.file.checksum_mismatch", "disk", algorithm, itemFile, digestOf(algorithm, bytes)),
    );
  });

  test.each<[string, (position: number) => void, string, string]>([
    [
      "changes",
      () => {
        throw new ContentChangedError("changed");
      },
      "downlease.file.changed",
      "item",
    ],
    [
      "can't be read",
      () => {
        throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
      },
      "downlease.file.unreadable",
      "disk",
    ],
  ])("%s while it is read", async (_, onRead, messageId, arg) => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(2 * mebi), onRead });
    expect(await newProcess().start(file, itemFile, false)).toEqual(failed(messageId, arg));
    expect(ends).toMatchObject([{ outcome: "failed", messageId }]);
  });

  test("is not the requested version", async () => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10) });
    content.contentVersion = "v2";
    const result = await newProcess().start(file, itemFile, false);
    expect(result).toEqual(failed("downlease.file.changed", "item"));
  });

  test("has become shorter than it was listed", async () => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10) });
    content.maxReadBytes = 0;
    expect(await newProcess().start(file, itemFile, false)).toEqual(failed("downlease.file.changed", "item"));
  });

  test("is kept, and tried again only on request", async () => {
    let isBroken = true;
    const onRead = () => {
      if (isBroken) throw new Error("EIO");
    };
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10), onRead });
    const failure = failed("downlease.file.unreadable", "disk");
    expect(await newProcess().start(file, itemFile, false)).toEqual(failure);
    isBroken = false;
    expect(await newProcess().start(file, itemFile, false)).toEqual(failure);
    expect(await newProcess().find([file])).toEqual([failure]);
    expect(content.opened).toHaveLength(1);
    expect(statusOf(await newProcess().start(file, itemFile, true))).toBe("PREPARED");
  });

  test("is removed everywhere as soon as a retry is requested, even if the job has to wait", async () => {
    const { opened, open } = gate();
    const [first, second] = [newProcess({ jobs: 1, ...withoutWait }), newProcess()];
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10) });
    content.contentVersion = "v2";
    await second.start(file, itemFile, false);
    content.contentVersion = "v1";
    const other = content.add("other", { bytes: randomBytes(10), onRead: () => opened });
    await first.start(other.file, other.itemFile, false);
    await eventually("the other one to be open", () => content.openNow === 1);
    expect(await first.start(file, itemFile, true)).toEqual({ status: "PREPARE_REQUESTED" });
    expect(await second.find([file])).toEqual([{ status: "UNPREPARED" }]);
    open();
    await eventually("both to be prepared", () => ends.length === 3);
    expect(statusOf((await second.find([file]))[0]!)).toBe("PREPARED");
  });
});

describe("a failure that is not the file's is not kept", () => {
  test("the source can't be read", async () => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10) });
    content.onOpen = () => {
      throw new ServiceError("downlease.content.unavailable");
    };
    const preparations = newProcess();
    await expect(preparations.start(file, itemFile, false)).rejects.toThrow("can't be read");
    expect(await preparations.find([file])).toEqual([{ status: "UNPREPARED" }]);
    expect(ends).toMatchObject([{ outcome: "interrupted" }]);
    content.onOpen = () => {};
    expect(statusOf(await preparations.start(file, itemFile, false))).toBe("PREPARED");
  });

  test("the source goes away in the middle", async () => {
    let isDown = true;
    const onRead = (position: number) => {
      if (isDown && position > 0) throw new ServiceError("downlease.content.unavailable");
    };
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(3 * mebi), onRead });
    content.maxReadBytes = mebi;
    const preparations = newProcess();
    await expect(preparations.start(file, itemFile, false)).rejects.toThrow("can't be read");
    isDown = false;
    expect(statusOf(await newProcess().start(file, itemFile, false))).toBe("PREPARED");
  });

  test("the store does not answer", async () => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10) });
    const preparations = newProcess();
    store.isDown = true;
    await expect(preparations.start(file, itemFile, false)).rejects.toThrow("does not answer");
    await expect(preparations.find([file])).rejects.toThrow("does not answer");
    store.isDown = false;
    expect(statusOf(await preparations.start(file, itemFile, false))).toBe("PREPARED");
  });

  test("the store is away for a moment, which costs no hashing again", async () => {
    const { opened, open } = gate();
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(10), onRead: () => opened });
    const preparations = newProcess({ claimMs: 60_000, ...withoutWait });
    await preparations.start(file, itemFile, false);
    await eventually("the file to be open", () => content.openNow === 1);
    store.isDown = true;
    open();
    await eventually("the file to be read", () => content.openNow === 0);
    store.isDown = false;
    await eventually("the job to end", () => ends.length === 1);
    expect(ends).toMatchObject([{ outcome: "prepared" }]);
    expect(content.opened).toEqual(["disk"]);
  });

  test("the store stays away", async () => {
    const { file, itemFile } = content.add("disk", {
      bytes: randomBytes(10),
      onRead: () => {
        store.isDown = true;
      },
    });
    const preparations = newProcess({ claimMs: 100, reportMs: 20 });
    await expect(preparations.start(file, itemFile, false)).rejects.toThrow("does not answer");
    expect(ends).toMatchObject([{ outcome: "interrupted" }]);
  });

  test("the thread dies; the next job starts another one", async () => {
    const { file, itemFile } = content.add("disk", { bytes: randomBytes(directBytes + 1) });
    const preparations = newProcess({}, new Hasher(brokenThread));
    for (const time of [1, 2]) {
      await expect(preparations.start(file, itemFile, false)).rejects.toThrow(
        "the hashing thread ended with 1",
      );
      expect(ends).toHaveLength(time);
    }
    expect(ends).toMatchObject([{ outcome: "interrupted" }, { outcome: "interrupted" }]);
    expect(await preparations.find([file])).toEqual([{ status: "UNPREPARED" }]);
  });
});

test("small files need no thread, not even an empty one", async () => {
  const preparations = newProcess({ startWaitMs: 30_000 }, new Hasher(brokenThread));
  for (const size of [0, 1, 65_536, 65_537, directBytes]) {
    const bytes = randomBytes(size);
    const { file, itemFile } = content.add(`small-${size}`, {
      bytes,
      checksums: { MD5: digestOf("MD5", bytes) },
    });
    const digests = { SHA256: digestOf("SHA256", bytes), MD5: digestOf("MD5", bytes) };
    expect(await preparations.start(file, itemFile, false)).toEqual({ status: "PREPARED", digests });
  }
});

test("an unknown algorithm fails a small file at once", () => {
  const odd = () => new DirectHashing(["SHA256", "CRC7" as ChecksumAlgorithm], 10);
  expect(odd).toThrow(HashingFailed);
});

describe("the hasher", () => {
  test("has no more than a few buffers in use, none larger than needed", async () => {
    const hasher = new Hasher();
    const hashing = hasher.begin(["SHA256"], 10);
    const buffers = [await hashing.buffer(), await hashing.buffer(), await hashing.buffer()];
    expect(buffers.map(({ byteLength }) => byteLength)).toEqual([10, 10, 10]);
    let isGiven = false;
    const fourth = hashing.buffer().then(() => {
      isGiven = true;
    });
    const other = hasher.begin(["SHA256"], 10);
    await other.digests();
    expect(isGiven).toBe(false);
    hashing.write(buffers[0]!, 10);
    await fourth;
    expect(buffers[0]!.byteLength).toBe(0);
    await hasher.close();
  });

  test("an unknown algorithm fails the job, and not the thread", async () => {
    const hasher = new Hasher();
    const odd = hasher.begin(["SHA256", "CRC7" as ChecksumAlgorithm], 10);
    const good = hasher.begin(["SHA256"], 0);
    await expect(odd.digests()).rejects.toThrow("Digest method not supported");
    expect(await good.digests()).toEqual([digestOf("SHA256", new Uint8Array())]);
    await hasher.close();
  });

  test("ends its thread after a while without work, and starts another for the next job", async () => {
    // Says in its answer which thread it is.
    const script = threadOf(`
      import { parentPort, threadId } from "node:worker_threads";
      parentPort.on("message", ({ type, job }) => {
        if (type === "end") parentPort.postMessage({ type: "digests", job, digests: [String(threadId)] });
      });
    `);
    const hasher = new Hasher(script, 1);
    const hash = () => hasher.begin(["SHA256"], 0).digests();
    const [first] = await hash();
    // One right after the other, so that threads end while others begin.
    await eventually("another thread", async () => (await hash())[0] !== first);
    await hasher.close();
  });

  test("rejects running and later hashings once it is closed", async () => {
    const hasher = new Hasher();
    const hashing = hasher.begin(["SHA256"], 10);
    const buffers = [await hashing.buffer(), await hashing.buffer(), await hashing.buffer()];
    const waiting = expect(hashing.buffer()).rejects.toThrow("ended");
    await hasher.close();
    await waiting;
    await expect(hashing.digests()).rejects.toThrow("ended");
    await expect(hashing.buffer()).rejects.toThrow("ended");
    hashing.write(buffers[0]!, 1);
    hashing.drop();
    expect(() => hasher.begin(["SHA256"], 1)).toThrow("closed");
  });
});
