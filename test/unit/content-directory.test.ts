import { AsyncLocalStorage, createHook } from "node:async_hooks";
import { execFileSync } from "node:child_process";
import { fstatSync, readdirSync, writeFileSync } from "node:fs";
import {
  appendFile,
  chmod,
  mkdir,
  open as openHandle,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DirectoryContentSource } from "../../src/content/directory/directory-content-source.ts";
import { DirectoryFile } from "../../src/content/directory/directory-file.ts";
import { ContentChangedError } from "../../src/domain/content-source.ts";
import { filesOf, openCurrent, textOf } from "../support/content-files.ts";
import { eventually } from "../support/eventually.ts";
import { tempDir } from "../support/temp-dir.ts";

let root: string;
let outside: string;
let removeAll: () => Promise<void>;
let warnings: string[];

beforeEach(async () => {
  const directory = await tempDir();
  removeAll = directory.remove;
  warnings = [];
  root = join(directory.path, "root");
  outside = join(directory.path, "root-of-others");
  await putItem(root, "lib", "it", "i");
  await putItem(outside, "lib", "secret", "s");
});
afterEach(() => removeAll());

const open = () => DirectoryContentSource.open({ root, warn: (message) => warnings.push(message) });

async function putItem(base: string, library: string, item: string, id: string): Promise<void> {
  const folder = join(base, library, item);
  await mkdir(folder, { recursive: true });
  await writeFile(join(base, library, ".library.json"), JSON.stringify({ id: library }));
  await writeFile(join(folder, ".item.json"), JSON.stringify({ id }));
  await writeFile(join(folder, "data"), `data of ${id}`);
}

describe("a link", () => {
  it("out of the root is not followed, as a library, item, file or metadata", async () => {
    await symlink(join(outside, "lib"), join(root, "library"));
    await symlink(join(outside, "lib", "secret"), join(root, "lib", "item"));
    await symlink(join(outside, "lib", "secret", "data"), join(root, "lib", "it", "file"));
    await putItem(root, "lib", "linked-metadata", "l");
    await rm(join(root, "lib", "linked-metadata", ".item.json"));
    await symlink(
      join(outside, "lib", "secret", ".item.json"),
      join(root, "lib", "linked-metadata", ".item.json"),
    );
    const source = await open();
    expect((await source.libraries()).map(({ name }) => name)).toEqual(["lib"]);
    expect((await source.items("lib"))?.map(({ name }) => name)).toEqual(["it"]);
    expect(await source.item("s")).toBeUndefined();
    expect(await filesOf(source, "i")).toEqual([{ name: "data", size: 9, version: expect.any(String) }]);
    expect(await openCurrent(source, "i", "file")).toBeUndefined();
    expect(warnings.sort()).toEqual([
      '"lib/it/file" is left out: it is a link that leads nowhere inside of the root',
      '"lib/item" is left out: it is a link that leads to no folder inside of the root',
      '"lib/linked-metadata" is left out: .item.json is broken (not a regular file inside of the root)',
      '"library" is left out: it is a link that leads to no folder inside of the root',
    ]);
  });

  it("that takes the place of an indexed item or file is not followed either", async () => {
    await putItem(root, "lib", "other", "s");
    const source = await open();
    const { contentVersion } = (await source.item("s"))!;
    await rename(join(root, "lib", "other"), join(root, ".moved"));
    await symlink(join(outside, "lib", "secret"), join(root, "lib", "other"));
    expect(await source.item("s")).toBeUndefined();
    expect(await source.openFile("s", "data", contentVersion)).toBeUndefined();
    await rm(join(root, "lib", "it", "data"));
    await symlink(join(outside, "lib", "secret", "data"), join(root, "lib", "it", "data"));
    expect(await filesOf(source, "i")).toEqual([]);
    expect(await openCurrent(source, "i", "data")).toBeUndefined();
  });

  it("inside of the root is followed", async () => {
    await mkdir(join(root, ".pool", "shared"), { recursive: true });
    await writeFile(join(root, ".pool", "shared", "data"), "pooled");
    await symlink("../.pool/shared", join(root, "lib", "linked"));
    await symlink("../../.pool/shared/data", join(root, "lib", "it", "more"));
    const source = await open();
    const items = await source.items("lib");
    const sizes = items!.map(async ({ id, name }) => [name, (await source.item(id))?.size]);
    expect(await Promise.all(sizes)).toEqual([
      ["it", 15],
      ["linked", 6],
    ]);
    expect(await textOf(source, items![1]!.id, "data")).toBe("pooled");
    expect(await textOf(source, "i", "more")).toBe("pooled");
    expect(warnings).toEqual([]);
  });

  it("to itself, to nothing or to a file where a folder belongs is left out", async () => {
    await symlink("loop", join(root, "lib", "loop"));
    await symlink("nothing", join(root, "lib", "dangling"));
    await symlink("it/data", join(root, "lib", "file"));
    await symlink("loop", join(root, "lib", "it", "loop"));
    const source = await open();
    expect((await source.items("lib"))?.map(({ name }) => name)).toEqual(["it"]);
    expect(await filesOf(source, "i")).toHaveLength(1);
    expect(await openCurrent(source, "i", "loop")).toBeUndefined();
  });

  it("may be the root itself, and be pointed elsewhere while the source is in use", async () => {
    const current = join(root, "..", "current");
    await symlink(root, current);
    const source = await DirectoryContentSource.open({ root: current });
    expect(await source.item("i")).toBeDefined();
    await symlink(outside, `${current}.new`);
    await rename(`${current}.new`, current);
    expect(await source.item("i")).toBeUndefined();
    expect(await textOf(source, "s", "data")).toBe("data of s");
  });
});

describe("an entry that can't be content", () => {
  it("is skipped when it is a pipe, and never waited for", async () => {
    execFileSync("mkfifo", [join(root, "lib", "it", "pipe"), join(root, "lib", "it", "metadata")]);
    await mkdir(join(root, "lib", "piped"));
    await rename(join(root, "lib", "it", "metadata"), join(root, "lib", "piped", ".item.json"));
    const source = await open();
    expect(await filesOf(source, "i")).toEqual([{ name: "data", size: 9, version: expect.any(String) }]);
    expect(await openCurrent(source, "i", "pipe")).toBeUndefined();
    expect(await source.items("lib")).toHaveLength(1);
    expect(warnings).toEqual([expect.stringMatching(/^"lib\/piped" .*not a regular file/)]);
  });

  it("is skipped with one warning when its name has control characters", async () => {
    await writeFile(join(root, "lib", "it", "two\nlines"), "x");
    await putItem(root, "lib", "bell\u0007", "b");
    const source = await open();
    for (let round = 0; round < 3; round++) {
      expect(await filesOf(source, "i")).toEqual([{ name: "data", size: 9, version: expect.any(String) }]);
      expect(await source.items("lib")).toHaveLength(1);
    }
    const reason = "is left out: its name is not 1 to 256 bytes of UTF-8 without control characters";
    expect(warnings.sort()).toEqual([`"lib/bell\\u0007" ${reason}`, `"lib/it/two\\nlines" ${reason}`]);
  });

  it.skipIf(process.platform === "darwin")(
    "is skipped when its name is not UTF-8 (macOS has no such names)",
    async () => {
      const folder = Buffer.from(`${join(root, "lib", "it")}/`);
      await writeFile(Buffer.concat([folder, Buffer.from([0x61, 0xff])]), "x");
      const source = await open();
      expect(await filesOf(source, "i")).toEqual([{ name: "data", size: 9, version: expect.any(String) }]);
      expect(await openCurrent(source, "i", "a\ufffd")).toBeUndefined();
      expect(warnings).toHaveLength(1);
    },
  );
});

describe("files and folders that this process may not read", () => {
  const nobody = 65_534;

  /** Root may read everything, so the test becomes another user for a while. */
  async function unprivileged(work: () => Promise<void>): Promise<void> {
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(nobody);
    try {
      await work();
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  }

  it("is left out as a folder, and unavailable as a file", async () => {
    await chmod(join(root, ".."), 0o755);
    await putItem(root, "lib", "locked", "k");
    await mkdir(join(root, "lost+found"));
    await symlink("lost+found/library", join(root, "link-into"));
    const locked = [join(root, "lost+found"), join(root, "lib", "locked"), join(root, "lib", "it", "data")];
    for (const path of locked) await chmod(path, 0o000);
    try {
      await unprivileged(async () => {
        const source = await open();
        expect((await source.libraries()).map(({ name }) => name)).toEqual(["lib"]);
        expect((await source.items("lib"))?.map(({ name }) => name)).toEqual(["it"]);
        await expect(openCurrent(source, "i", "data")).rejects.toMatchObject({
          messageId: "downlease.content.unavailable",
          cause: { code: "EACCES" },
        });
      });
      expect(warnings.sort()).toEqual([
        '"lib/locked" is left out: it may not be read (EACCES)',
        '"link-into" is left out: it may not be read (EACCES)',
        '"lost+found" is left out: it may not be read (EACCES)',
      ]);
    } finally {
      for (const path of locked) await chmod(path, 0o700);
    }
  });
});

describe("a change that the times of the folders don't show", () => {
  const then = new Date(Date.UTC(2026, 0, 1));
  const setFolderTimes = async () => {
    for (const folder of [root, join(root, "lib")]) await utimes(folder, then, then);
  };

  it("is noticed at once when it came within the same tick as the last look", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: then });
    try {
      await setFolderTimes();
      const source = await open();
      await putItem(root, "lib", "new", "n");
      await setFolderTimes();
      expect(await source.item("n")).toBeDefined();
    } finally {
      vi.useRealTimers();
    }
  });

  it("is noticed soon when it is inside of an item's folder", async () => {
    await setFolderTimes();
    const source = await open();
    await writeFile(join(root, "lib", "it", ".item.json"), JSON.stringify({ id: "n" }));
    const item = await eventually("the new id to be indexed", () => source.item("n"));
    expect(item.name).toBe("it");
  });

  it("of a library's id is noticed, with all its items, together with a new item", async () => {
    await setFolderTimes();
    await utimes(join(root, "lib", "it"), then, then);
    const source = await open();
    await writeFile(join(root, "lib", ".library.json"), JSON.stringify({ id: "n" }));
    await mkdir(join(root, "lib", "other"));
    expect((await source.items("n"))?.map(({ name }) => name)).toEqual(["it", "other"]);
    expect(await source.items("lib")).toBeUndefined();
    expect((await source.item("i"))?.libraryId).toBe("n");
  });

  it("is noticed by the first call after a long time", async () => {
    await setFolderTimes();
    const source = await open();
    await writeFile(join(root, "lib", "it", ".item.json"), JSON.stringify({ id: "n" }));
    const now = vi.spyOn(performance, "now");
    try {
      now.mockReturnValue(performance.now() + 3_600_000);
      expect((await source.item("n"))?.name).toBe("it");
    } finally {
      now.mockRestore();
    }
  });
});

describe("a root that can't be used", () => {
  it("is named when the source is opened", async () => {
    const missing = join(root, "missing");
    await expect(DirectoryContentSource.open({ root: missing })).rejects.toThrow(missing);
    const file = join(root, "lib", "it", "data");
    await expect(DirectoryContentSource.open({ root: file })).rejects.toThrow(`${file} can't be used: it is`);
  });

  it("is unavailable when a file has taken its place", async () => {
    const source = await open();
    await rm(root, { recursive: true });
    await writeFile(root, "x");
    const unavailable = { messageId: "downlease.content.unavailable" };
    await expect(source.item("i")).rejects.toMatchObject(unavailable);
    await expect(source.libraries()).rejects.toMatchObject(unavailable);
  });

  it("is used again when it is back", async () => {
    const source = await open();
    await rename(root, `${root}.away`);
    await expect(source.item("i")).rejects.toThrow();
    await rename(`${root}.away`, root);
    expect(await source.item("i")).toBeDefined();
  });
});

describe("the descriptor of a file", () => {
  /** How many descriptors this process has open on a file. */
  async function openOn(path: string): Promise<number> {
    const { dev, ino } = await stat(path);
    return readdirSync("/dev/fd").filter((fd) => {
      try {
        const stats = fstatSync(Number(fd));
        return stats.dev === dev && stats.ino === ino;
      } catch {
        // The descriptor of the listing itself.
        return false;
      }
    }).length;
  }

  it("is held until it is closed, however many readers there are, and once only", async () => {
    const source = await open();
    const path = join(root, "lib", "it", "data");
    const file = (await openCurrent(source, "i", "data"))!;
    const into = new Uint8Array(4);
    await Promise.all([file.reader().read(into), file.reader({ start: 1, end: 3 }).read(into)]);
    expect(() => file.reader({ start: 0, end: 99 })).toThrow(RangeError);
    expect(await openOn(path)).toBe(1);
    await file.close();
    expect(await openOn(path)).toBe(0);
  });

  it("is closed after a running read", async () => {
    const source = await open();
    const file = (await openCurrent(source, "i", "data"))!;
    const into = new Uint8Array(9);
    const reading = file.reader().read(into);
    await file.close();
    expect(await reading).toBe(9);
    expect(Buffer.from(into).toString()).toBe("data of i");
  });

  it("is not held when it is refused", async () => {
    const source = await open();
    expect(await source.openFile("i", "data", "another")).toBeUndefined();
    expect(await openOn(join(root, "lib", "it", "data"))).toBe(0);
  });
});

describe("a file that is open", () => {
  const size = 300_000;
  const path = () => join(root, "lib", "it", "disk");
  /** A file whose first bytes were read, and what reads the others. */
  async function openDisk() {
    await writeFile(path(), Buffer.alloc(size, "a"));
    const file = (await openCurrent(await open(), "i", "disk"))!;
    const reader = file.reader();
    const readOn = async (): Promise<string> => {
      let text = "";
      for (;;) {
        const into = Buffer.alloc(65_536);
        const count = await reader.read(into);
        if (count === 0) return text;
        text += into.toString("latin1", 0, count);
      }
    };
    await reader.read(new Uint8Array(10));
    return { file, readOn };
  }

  const changes: Record<string, () => Promise<void>> = {
    "is overwritten in place": async () => {
      await using handle = await openHandle(path(), "r+");
      await handle.write("b", 5);
    },
    "is truncated": () => truncate(path(), size - 1),
    "is truncated to nothing": () => truncate(path(), 0),
    "is appended to": () => appendFile(path(), "b"),
    "is truncated and appended to": async () => {
      await truncate(path(), 100);
      await appendFile(path(), Buffer.alloc(size - 100, "b"));
    },
    "is touched": () => utimes(path(), 1, 1),
  };
  it.each(Object.keys(changes))("and %s, has changed before its last bytes are read", async (change) => {
    const { file, readOn } = await openDisk();
    await changes[change]!();
    await expect(readOn()).rejects.toThrow(ContentChangedError);
    await file.close();
  });

  it("and changes right after it was opened, has changed", async () => {
    for (let round = 0; round < 20; round++) {
      await writeFile(path(), "first");
      await using file = (await openCurrent(await open(), "i", "disk"))!;
      writeFileSync(path(), "other");
      await expect(file.reader().read(new Uint8Array(9))).rejects.toThrow(ContentChangedError);
    }
  });

  it.each(["replaced", "removed"])("is read whole when it is %s", async (what) => {
    const { file, readOn } = await openDisk();
    if (what === "removed") await rm(path());
    else {
      await writeFile(`${path()}.new`, "another");
      await rename(`${path()}.new`, path());
    }
    expect(await readOn()).toBe("a".repeat(size - 10));
    await file.close();
  });

  it("can be opened with any part of a millisecond in its time", async () => {
    execFileSync("touch", ["-d", "2026-01-02 03:04:05.678999999", join(root, "lib", "it", "data")]);
    expect(await textOf(await open(), "i", "data")).toBe("data of i");
  });

  it("is unavailable when the system can't read it", async () => {
    await using folder = await openHandle(root, "r");
    const file = new DirectoryFile({ handle: folder, size: 5, modifiedMs: 0 }, "1", "a/b/c");
    await expect(file.reader().read(new Uint8Array(5))).rejects.toMatchObject({
      messageId: "downlease.content.unavailable",
      cause: { code: "EISDIR" },
    });
  });

  it("has its path below the root, by the names that lead there", async () => {
    await putItem(root, "b\u00fccher", "\ud83d\udcd6 1", "u");
    await writeFile(join(root, "b\u00fccher", "\ud83d\udcd6 1", "#?%41.iso"), "x");
    await symlink("b\u00fccher", join(root, "z"));
    await using file = await openCurrent(await open(), "u", "#?%41.iso");
    expect(file?.path).toBe("b\u00fccher/\ud83d\udcd6 1/#?%41.iso");
  });

  it("has the path that its links lead to", async () => {
    await mkdir(join(root, ".pool", "shared"), { recursive: true });
    await writeFile(join(root, ".pool", "disk"), "pooled");
    await symlink("../disk", join(root, ".pool", "shared", "file"));
    await symlink("../.pool/shared", join(root, "lib", "linked"));
    const source = await open();
    const { id } = (await source.items())!.find(({ name }) => name === "linked")!;
    await using file = await openCurrent(source, id, "file");
    expect(file?.path).toBe(".pool/disk");
  });
});

describe("the work of a lookup", () => {
  const itemCount = 2_000;

  /** Asynchronous file system requests that Node makes for `work`. */
  async function requestsOf(work: () => Promise<unknown>): Promise<number> {
    const counter = new AsyncLocalStorage<{ requests: number }>();
    const count = { requests: 0 };
    const hook = createHook({
      init(_id, type) {
        const current = counter.getStore();
        if (current !== undefined && type.startsWith("FSREQ")) current.requests += 1;
      },
    }).enable();
    try {
      await counter.run(count, work);
    } finally {
      hook.disable();
    }
    return count.requests;
  }

  it("of an indexed id does not grow with the number of items", async () => {
    const small = await open();
    const alone = await requestsOf(() => small.item("i"));
    for (let n = 0; n < itemCount; n++) await mkdir(join(root, "lib", `it${n}`));
    const large = await open();
    const walk = await requestsOf(open);
    expect(walk).toBeGreaterThan(itemCount);
    expect(alone).toBeGreaterThan(0);
    expect(await requestsOf(() => large.item("i"))).toBe(alone);
    const listed = await requestsOf(() => small.contents("i"));
    expect(await requestsOf(async () => expect(await filesOf(large, "i")).toHaveLength(1))).toBe(listed);
  });

  it("of a flood of unknown ids does not walk the folders each time", async () => {
    for (let n = 0; n < itemCount; n++) await mkdir(join(root, "lib", `it${n}`));
    const walk = await requestsOf(open);
    const source = await open();
    const flood = await requestsOf(async () => {
      for (let n = 0; n < 500; n++) {
        await Promise.all([source.item(`unknown-${n}-a`), source.item(`unknown-${n}-b`)]);
      }
    });
    expect(flood).toBeGreaterThan(0);
    expect(flood).toBeLessThan(20 * walk);
  });

  it("of a flood of lists does not walk the folders each time", async () => {
    for (let n = 0; n < itemCount; n++) await mkdir(join(root, "lib", `it${n}`));
    const walk = await requestsOf(open);
    const source = await open();
    const flood = await requestsOf(async () => {
      for (let n = 0; n < 500; n++) {
        const lists = await Promise.all([source.items("lib"), source.items()]);
        for (const list of lists) expect(list).toHaveLength(itemCount + 1);
      }
    });
    expect(flood).toBeGreaterThan(0);
    expect(flood).toBeLessThan(20 * walk);
  });

  it("of callers that list all the time includes no walk, but their lists have its results", async () => {
    for (let n = 0; n < 200; n++) await mkdir(join(root, "lib", `it${n}`));
    const then = new Date(Date.UTC(2026, 0, 1));
    for (const folder of [root, join(root, "lib")]) await utimes(folder, then, then);
    const source = await open();
    await writeFile(join(root, "lib", "it", ".item.json"), JSON.stringify({ id: "n" }));
    let maxRequests = 0;
    await eventually("the new id to be listed", async () => {
      let ids: string[] = [];
      const list = async () => {
        ids = (await source.items("lib"))!.map(({ id }) => id);
      };
      maxRequests = Math.max(maxRequests, await requestsOf(list));
      return ids.includes("n");
    });
    expect(maxRequests).toBeLessThan(100);
  });

  it("of a new item looks at each other folder without a walk, and notices changes in them", async () => {
    for (let n = 0; n < itemCount; n++) await mkdir(join(root, "lib", `it${n}`));
    const walk = await requestsOf(open);
    const source = await open();
    await putItem(root, "lib", "new", "n");
    await rename(join(root, "lib", "it7"), join(root, "lib", "it8", "it7"));
    await rename(join(root, "lib", "it8"), join(root, "lib", "it7"));
    await writeFile(join(root, "lib", "it9", "a.iso"), "");
    const look = await requestsOf(() => source.item("n"));
    expect(look).toBeGreaterThan(itemCount);
    expect(look).toBeLessThan(walk / 2);
    const items = new Map((await source.items("lib"))!.map(({ name, type }) => [name, type]));
    expect(items.size).toBe(itemCount + 1);
    expect([items.has("new"), items.has("it8"), items.get("it9")]).toEqual([true, false, "iso"]);
    expect((await source.item("n"))?.name).toBe("new");
  });

  it("of a walk does not grow with the number of files", async () => {
    const before = await requestsOf(open);
    for (let n = 0; n < 500; n++) await writeFile(join(root, "lib", "it", `disk-${n}.vmdk`), "");
    // Reading a folder takes one more request when the names fill more than one block.
    expect(await requestsOf(open)).toBeLessThan(before + 50);
  });
});
