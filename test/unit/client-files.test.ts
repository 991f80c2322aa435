import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { FileInfoSchema } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { ChecksumInfo_ChecksumAlgorithm as Algorithm } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ChecksumVerifier, checksumsOf } from "../../src/client/checksums.ts";
import { makeDirectories } from "../../src/client/disk.ts";
import { DiskLock } from "../../src/client/disk-lock.ts";
import { clashOf, nameKey, nameProblem, partName } from "../../src/client/file-names.ts";
import { PartFile } from "../../src/client/part-file.ts";
import { StateFile } from "../../src/client/state-file.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const signal = new AbortController().signal;
const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // of "abc"
const token = "b7d7c2f4-0c0e-4a0e-8d2b-5f0d4b7f3a11";

const all: TempDir[] = [];
let directory: string;
beforeEach(async () => {
  const dir = await tempDir();
  all.push(dir);
  directory = dir.path;
});
afterAll(() => Promise.all(all.map((dir) => dir.remove())));

describe("a name that a server gives a file", () => {
  test.each(["photon.ovf", "a", "ünï cödé.iso", "con", "a:b", "a..b", "x".repeat(255)])(
    "may be %j",
    (name) => {
      expect(nameProblem(name, "linux")).toBeUndefined();
    },
  );

  test.each([
    "",
    ".",
    "..",
    "../passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\a",
    ".bashrc",
    ".downlease-00.json",
    "a\0b",
    "a\nb",
    "\u009b31m",
    "-rf",
    "--",
    "x\u202egpj.exe",
    "a\u200bb",
    "\ufeffa",
    "a\u2066b\u2069",
    "a\u2028b",
    "a\u00adb",
    "\u3164",
    "a\u{e0041}",
    "\ud800",
    "x".repeat(256),
    "ü".repeat(128),
  ])("is not %j", (name) => {
    expect(nameProblem(name, "linux")).toBeDefined();
  });

  test.each([
    ...["con", "NUL.txt", "a:b", "a?", "a.", "a ", "COM1", "Lpt9.iso"],
    ...["COM¹.txt", "LPT³", "com².tar.gz", "CONIN$", "conout$.txt", "CON .txt", "aux  ", "CONIN$ .a"],
  ])("is not %j on Windows", (name) => {
    expect(nameProblem(name, "win32")).toBeDefined();
    expect(nameProblem(name, "linux")).toBeUndefined();
  });

  test.each(["console.txt", "COM¹²", "COM⁴", "LPT10.iso", "CONIN", "CONIN$x", "con_.txt", "a con.txt"])(
    "may be %j on Windows",
    (name) => {
      expect(nameProblem(name, "win32")).toBeUndefined();
    },
  );

  const exact = { foldsCase: false, foldsForms: false };

  test("is not the name of another file, as the directory takes names", () => {
    const [upper, lower, decomposed, composed] = ["Disk.iso", "disk.iso", "u\u0308.iso", "\u00fc.iso"];
    const all = [upper, lower, decomposed, composed];
    expect(clashOf(all, all, exact)).toBeUndefined();
    expect(clashOf(all, all, { ...exact, foldsCase: true })).toMatchObject({ file: upper, other: lower });
    expect(clashOf(all, all, { ...exact, foldsForms: true })).toMatchObject({
      file: decomposed,
      other: composed,
    });
    expect(clashOf(["a", "b", "a"], ["a", "b", "a"], exact)).toMatchObject({ file: "a", other: "a" });
    // The others go into another directory.
    expect(clashOf([upper, decomposed], all, { foldsCase: true, foldsForms: true })).toBeUndefined();
  });

  test.each([
    ["STRASSE", "stra\u00dfe"],
    ["\u03c3\u03a3", "\u03a3\u03c2"],
    ["\u212a.iso", "k.ISO"],
    ["\u00c5", "a\u030a"],
  ])("%s is the name of %s where case and forms do not count", (one, other) => {
    const rules = { foldsCase: true, foldsForms: true };
    expect(nameKey(one, rules)).toBe(nameKey(other, rules));
  });

  test("is not the name of another file while that is incomplete", () => {
    const taken = { file: "a.iso", other: "a.iso.part", isPart: true };
    expect(clashOf(["a.iso", "a.iso.part"], ["a.iso", "b.part", "a.iso.part"], exact)).toEqual(taken);
    // The other one may be there already.
    expect(clashOf(["a.iso"], ["a.iso", "a.iso.part"], exact)).toEqual(taken);
    expect(clashOf(["a.iso"], ["a.iso", "A.ISO.PART"], exact)).toBeUndefined();
    expect(clashOf(["a.iso"], ["a.iso", "A.ISO.PART"], { ...exact, foldsCase: true })).toBeDefined();
    expect(clashOf(["b.part", "c"], ["b.part", "c"], exact)).toBeUndefined();
  });

  test("and that of its incomplete file fit into a file system", () => {
    expect(partName("a.iso")).toBe("a.iso.part");
    expect(partName("x".repeat(250))).toBe(`${"x".repeat(250)}.part`);
    const long = [
      "x".repeat(251),
      "x".repeat(255),
      `${"x".repeat(254)}y`,
      "ü".repeat(127),
      `a${"漢".repeat(84)}`,
    ];
    const parts = long.map(partName);
    expect(new Set(parts).size).toBe(long.length);
    for (const name of parts) {
      expect(nameProblem(name)).toBeUndefined();
      expect(name).toMatch(/~[0-9a-f]{16}\.part$/);
    }
  });
});

describe("checksums", () => {
  test("are all that the server sends, SHA-1 without an algorithm, in lower case", () => {
    const info = create(FileInfoSchema, {
      checksumInfo: { algorithm: Algorithm.SHA256, checksum: sha256.toUpperCase() },
      checksums: [
        { checksum: "AA" },
        { algorithm: Algorithm.MD5, checksum: "bb" },
        { algorithm: 99 as Algorithm },
      ],
    });
    expect(Object.fromEntries(checksumsOf(info))).toEqual({ sha256, sha1: "aa", md5: "bb" });
  });

  test("are compared one by one", () => {
    const verifier = () => {
      const created = new ChecksumVerifier(["sha256", "md5"]);
      created.update(Buffer.from("a"));
      created.update(Buffer.from("bc"));
      return created;
    };
    const md5 = "900150983cd24fb0d6963f7d28e17f72";
    expect(
      verifier().mismatch(
        new Map([
          ["sha256", sha256],
          ["md5", md5],
        ]),
      ),
    ).toBeUndefined();
    expect(
      verifier().mismatch(
        new Map([
          ["sha256", sha256],
          ["md5", sha256],
        ]),
      ),
    ).toBe("md5");
    expect(verifier().mismatch(new Map([["md5", md5]]))).toBe("sha256");
  });
});

describe("a lock", () => {
  test("is exclusive until it is released, and leaves no file", async () => {
    const lock = DiskLock.acquire(directory, "item", "a");
    expect(() => DiskLock.acquire(directory, "item", "a")).toThrow(
      expect.objectContaining({ reason: "busy" }),
    );
    lock[Symbol.dispose]();
    DiskLock.acquire(directory, "item", "a")[Symbol.dispose]();
    expect(await readdir(directory)).toEqual([]);
  });

  test("covers one item or file in one directory", async () => {
    await mkdir(join(directory, "other"));
    const locks = [
      DiskLock.acquire(directory, "item", "a"),
      DiskLock.acquire(directory, "item", "b"),
      DiskLock.acquire(directory, "file", "a"),
      DiskLock.acquire(join(directory, "other"), "item", "a"),
    ];
    expect(() => DiskLock.acquire(directory, "file", "a")).toThrow(
      expect.objectContaining({ reason: "busy", file: "a" }),
    );
    for (const lock of locks) lock[Symbol.dispose]();
  });

  test("is unavailable in a directory that does not exist", () => {
    expect(() => DiskLock.acquire(join(directory, "none"), "item", "a")).toThrow(
      expect.objectContaining({ reason: "disk" }),
    );
  });
});

describe("the state of a download", () => {
  const part = { name: "__proto__", size: 3, sha256, etag: '"1"' };

  test("is the last one written", async () => {
    const state = await StateFile.open(directory, "item");
    await Promise.all([
      state.setSession({ clientToken: token, sessionId: "s", contentVersion: "v" }),
      state.setPart({ ...part, etag: '"0"' }),
      state.setPart(part),
      state.setPart({ ...part, name: "other" }),
      state.removePart("other"),
    ]);
    const again = await StateFile.open(directory, "item");
    expect(again.session).toMatchObject({ clientToken: token, sessionId: "s", contentVersion: "v" });
    expect(again.parts).toEqual([part]);
    expect(again.part("__proto__")).toEqual(part);
    expect(await readdir(directory)).toHaveLength(1);
  });

  test("is removed with the download, unless other files are incomplete", async () => {
    const state = await StateFile.open(directory, "item");
    await state.setPart(part);
    await state.setSession({ clientToken: token });
    await state.close();
    const again = await StateFile.open(directory, "item");
    expect(again.session.clientToken).toBeUndefined();
    expect(again.parts).toEqual([part]);
    await again.removePart(part.name);
    await again.close();
    expect(await readdir(directory)).toEqual([]);
  });

  const good = { version: 1, itemId: "item", clientToken: token, parts: [part] };
  test.each([
    ["nothing", ""],
    ["half of it", JSON.stringify(good).slice(0, 80)],
    ["a later version", JSON.stringify({ ...good, version: 3 })],
    ["another item", JSON.stringify({ ...good, itemId: "other" })],
    ["an invalid token", JSON.stringify({ ...good, clientToken: "x" })],
    ["an invalid size", JSON.stringify({ ...good, parts: [{ ...part, size: -1 }] })],
    ["an unknown member", JSON.stringify({ ...good, more: 1 })],
    ["an array", "[]"],
    ["null", "null"],
    ["bytes", "\0\xff\xfe"],
  ])("is not read from a file with %s", async (_, text) => {
    const path = await statePath();
    await writeFile(path, text);
    const state = await StateFile.open(directory, "item");
    expect(state.parts).toEqual([]);
    expect(state.session.clientToken).toBeUndefined();
    await state.setPart(part);
    expect((await StateFile.open(directory, "item")).parts).toEqual([part]);
  });

  test("is read from a file as it is written", async () => {
    await writeFile(await statePath(), JSON.stringify(good));
    const state = await StateFile.open(directory, "item");
    expect(state.session.clientToken).toBe(token);
  });

  test("can't be written where there is no directory", async () => {
    const state = await StateFile.open(join(directory, "none"), "item");
    await expect(state.setSession({})).rejects.toMatchObject({ reason: "disk" });
    await expect(state.setSession({})).rejects.toMatchObject({ reason: "disk" });
  });

  async function statePath(): Promise<string> {
    const state = await StateFile.open(directory, "item");
    await state.setSession({});
    const [name] = await readdir(directory);
    return join(directory, name!);
  }
});

describe("a partial file", () => {
  const expected = new Map([["sha256", sha256]] as const);

  test("is renamed when it is complete", async () => {
    const path = join(directory, "a.part");
    await using part = await PartFile.open(path, "a", expected);
    await part.write(Buffer.from("ab"), 0);
    await part.write(Buffer.from("c"), 2);
    expect(part.length).toBe(3);
    expect(await part.mismatch()).toBeUndefined();
    await part.finish(join(directory, "a"));
    expect(await readdir(directory)).toEqual(["a"]);
    expect(await readFile(join(directory, "a"), "utf8")).toBe("abc");
  });

  test("continues with the bytes on disk, which are read", async () => {
    const path = join(directory, "a.part");
    await writeFile(path, "ab");
    await using part = await PartFile.open(path, "a", expected);
    await part.adopt(3, undefined, signal, () => {});
    expect(part.length).toBe(2);
    await part.write(Buffer.from("c"), 2);
    expect(await part.mismatch()).toBeUndefined();
  });

  test("adopts no more bytes than the file has", async () => {
    const path = join(directory, "a.part");
    await writeFile(path, "abcdef");
    await using part = await PartFile.open(path, "a", expected);
    await part.adopt(3, undefined, signal, () => {});
    expect(part.length).toBe(3);
    expect(await part.mismatch()).toBeUndefined();
    expect(await readFile(path, "utf8")).toBe("abc");
  });

  test("detects wrong bytes, and can be reset", async () => {
    await using part = await PartFile.open(join(directory, "a.part"), "a", expected);
    await part.write(Buffer.from("abd"), 0);
    expect(await part.mismatch()).toBe("sha256");
    await part.reset();
    expect(part.length).toBe(0);
    await part.write(Buffer.from("abc"), 0);
    expect(await part.mismatch()).toBeUndefined();
  });
});

describe("a directory that is made", () => {
  test("is made with those above it, and the first one is returned", async () => {
    expect(await makeDirectories(join(directory, "a/b/c"))).toBe(join(directory, "a"));
    expect(await makeDirectories(join(directory, "a/b/d"))).toBe(join(directory, "a/b/d"));
    expect(await makeDirectories(join(directory, "a/b"))).toBeUndefined();
  });

  test("is refused where a file has its name, or that of one above it", async () => {
    await writeFile(join(directory, "file"), "");
    await expect(makeDirectories(join(directory, "file"))).rejects.toMatchObject({ code: "EEXIST" });
    await expect(makeDirectories(join(directory, "file/a"))).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  test.skipIf(process.platform !== "linux")("is refused where the file system accepts no names", async () => {
    await expect(makeDirectories("/proc/downlease/a")).rejects.toMatchObject({ code: "ENOENT" });
  });
});
