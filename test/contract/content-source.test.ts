import { mkdir, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DirectoryContentSource } from "../../src/content/directory-content-source.ts";
import type { ContentSource } from "../../src/domain/content-source.ts";
import { eventually } from "../support/eventually.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Empty storage for a test, and the sources that read it. */
interface ContentFixture extends AsyncDisposable {
  /** A source on the storage, as a replica of its own would have. */
  open(): Promise<ContentSource>;
  /** Writes `library/item/file`, or a metadata file, with a modification time later than those of all earlier calls. */
  put(path: string, content: string | Uint8Array): Promise<void>;
  /** Removes a file, an item or a library; that of a file is a change of its item, as late as a `put` would be. */
  remove(path: string): Promise<void>;
  /** Makes the whole storage unreachable. */
  breakDown(): Promise<void>;
  /** What the sources warned of. */
  readonly warnings: readonly string[];
}

async function directoryFixture(): Promise<ContentFixture> {
  const directory = await tempDir();
  const root = join(directory.path, "root");
  await mkdir(root);
  const warnings: string[] = [];
  // Ahead of the clock that the file system stamps folders with, so that each change is the latest one.
  let seconds = Date.UTC(2100, 0, 1) / 1_000;
  const touch = (path: string) => {
    seconds += 1;
    return utimes(path, seconds, seconds);
  };
  return {
    warnings,
    open: () => DirectoryContentSource.open({ root, warn: (message) => warnings.push(message) }),
    async put(path, content) {
      const file = join(root, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
      await touch(file);
    },
    async remove(path) {
      await rm(join(root, path), { recursive: true });
      const isFile = path.split("/").length === 3;
      if (isFile) await touch(join(root, dirname(path)));
    },
    breakDown: () => rm(root, { recursive: true }),
    [Symbol.asyncDispose]: directory.remove,
  };
}

contentSourceContract("directory", directoryFixture);

/** What every implementation of the port must do. */
function contentSourceContract(implementation: string, createFixture: () => Promise<ContentFixture>) {
  describe(`content source: ${implementation}`, () => {
    let storage: ContentFixture;
    beforeEach(async () => {
      storage = await createFixture();
    });
    afterEach(() => storage[Symbol.asyncDispose]());

    const uuidV5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    const declare = (path: string, metadata: object) => storage.put(path, JSON.stringify(metadata));
    const putItem = async (path: string, id: string) => {
      await declare(`${path}/.item.json`, { id });
      await storage.put(`${path}/data`, `content of ${path}`);
    };
    const version = expect.stringMatching(/^[0-9a-f]{16}$/);
    const times = { createdAt: expect.any(Number), modifiedAt: expect.any(Number) };
    const namesOf = (entries: readonly { readonly name: string }[] | undefined) =>
      entries?.map(({ name }) => name);

    describe("libraries and items", () => {
      it("are listed by name, in an order that no locale changes", async () => {
        for (const name of ["b", "B", "a", "\u00e9", "z"]) {
          await storage.put(`${name}/item/file`, "x");
          await storage.put(`a/${name}/file`, "x");
        }
        const source = await storage.open();
        const libraries = await source.libraries();
        expect(namesOf(libraries)).toEqual(["B", "a", "b", "z", "\u00e9"]);
        const ofA = await source.items(libraries[1]!.id);
        expect(namesOf(ofA)).toEqual(["B", "a", "b", "item", "z", "\u00e9"]);
      });

      it("have ids derived from their names, the same in every replica", async () => {
        await storage.put("one/same/file", "x");
        await storage.put("two/same/file", "x");
        const [source, replica] = [await storage.open(), await storage.open()];
        const libraries = await source.libraries();
        const [one, two] = libraries;
        const items = [...(await source.items(one!.id))!, ...(await source.items(two!.id))!];
        expect(await source.items()).toEqual(items);
        const ids = [...libraries, ...items].map(({ id }) => id);
        expect(new Set(ids).size).toBe(4);
        for (const id of ids) expect(id).toMatch(uuidV5);
        expect(await replica.libraries()).toEqual(libraries);
        expect(await replica.library(two!.id)).toEqual(two);
        expect(await replica.items()).toEqual(items);
        const item = await replica.item(items[1]!.id);
        expect(item).toMatchObject(items[1]!);
        expect(await source.item(items[1]!.id)).toEqual(item);
      });

      it("have what their metadata declares", async () => {
        await declare("lib/.library.json", { id: "l", description: "about l", owner: "ignored" });
        await declare("lib/it/.item.json", { id: "i", description: "about i", type: "custom", a: 1 });
        await storage.put("lib/it/a.iso", "12345");
        const source = await storage.open();
        const library = { id: "l", name: "lib", description: "about l", ...times };
        expect(await source.libraries()).toEqual([library]);
        expect(await source.library("l")).toEqual(library);
        const item = {
          id: "i",
          libraryId: "l",
          name: "it",
          description: "about i",
          type: "custom",
          contentVersion: expect.stringMatching(/^[0-9a-f]{16}$/),
          size: 5,
          ...times,
        };
        const { id, libraryId, name, type } = item;
        expect(await source.items("l")).toEqual([{ id, libraryId, name, type }]);
        expect(await source.item("i")).toEqual(item);
      });

      it("leave out members that nobody declared", async () => {
        await putItem("lib/it", "i");
        const source = await storage.open();
        const membersOf = (value: object | undefined) => Object.keys(value!).sort();
        expect(membersOf((await source.libraries())[0])).toEqual(["createdAt", "id", "modifiedAt", "name"]);
        expect(membersOf((await source.items())?.[0])).toEqual(["id", "libraryId", "name"]);
        expect(membersOf(await source.item("i"))).toEqual([
          "contentVersion",
          "createdAt",
          "id",
          "libraryId",
          "modifiedAt",
          "name",
          "size",
        ]);
      });

      it.each([
        { files: ["a.ovf", "disk.vmdk"], type: "ovf" },
        { files: ["A.OVA"], type: "ovf" },
        { files: ["a.iso", "a.ovf"], type: "ovf" },
        { files: ["a.iso"], type: "iso" },
        { files: ["iso", "ovf.txt"], type: undefined },
      ])("of files $files have the type $type", async ({ files, type }) => {
        await declare("lib/it/.item.json", { id: "i" });
        for (const file of files) await storage.put(`lib/it/${file}`, "x");
        const source = await storage.open();
        expect((await source.item("i"))?.type).toBe(type);
        expect((await source.items())?.[0]?.type).toBe(type);
      });

      it("that don't exist are undefined", async () => {
        await putItem("lib/it", "i");
        const source = await storage.open();
        for (const id of [
          "nope",
          "lib",
          "it",
          "lib/it",
          "",
          "..",
          "../lib",
          "i\0",
          "/etc/passwd",
          "__proto__",
        ]) {
          expect(await source.library(id)).toBeUndefined();
          expect(await source.items(id)).toBeUndefined();
          expect(await source.item(id)).toBeUndefined();
          expect(await source.files(id)).toBeUndefined();
          expect(await source.open(id, "data")).toBeUndefined();
        }
      });
    });

    describe("files", () => {
      it("are listed by name with their sizes; hidden and nested ones are not content", async () => {
        await putItem("lib/it", "i");
        await storage.put("lib/it/B", "four");
        await storage.put("lib/it/\u00e9", "");
        await storage.put("lib/it/.hidden", "x");
        await storage.put("lib/it/folder/nested", "x");
        const source = await storage.open();
        expect(await source.files("i")).toEqual([
          { name: "B", size: 4, version },
          { name: "data", size: 17, version },
          { name: "\u00e9", size: 0, version },
        ]);
        expect((await source.item("i"))?.size).toBe(21);
      });

      it("have the checksums that manifests next to them tell, and none when a manifest is broken", async () => {
        const source = await storage.open();
        const [sha1, sha256] = ["a".repeat(40), "b".repeat(64)];
        await storage.put("lib/item/a.ovf", "a");
        await storage.put("lib/item/b.vmdk", "b");
        await storage.put("lib/item/c.mf", `SHA256(a.ovf)= ${sha256}\nSHA1(gone)= ${sha1}\n`);
        await storage.put("lib/item/d.mf", `SHA1(a.ovf)= ${sha1}\nSHA256(a.ovf)= ${"c".repeat(64)}\n`);
        const [item] = (await source.items()) ?? [];
        const checksums = async () =>
          (await source.files(item!.id))?.map((file) => [file.name, file.checksums]);
        expect(await checksums()).toEqual([
          ["a.ovf", { SHA1: sha1, SHA256: sha256 }],
          ["b.vmdk", undefined],
          ["c.mf", undefined],
          ["d.mf", undefined],
        ]);
        await storage.put("lib/item/c.mf", "SHA256(a.ovf)= no\n");
        await storage.remove("lib/item/d.mf");
        expect((await checksums())?.[0]).toEqual(["a.ovf", undefined]);
        expect(storage.warnings.at(-1)).toMatch(/"lib\/item\/c\.mf" tells no checksums: line 1 /);
      });

      it("are read whole or in part, both ends included", async () => {
        await declare("lib/it/.item.json", { id: "i" });
        const bytes = Uint8Array.from({ length: 200_000 }, (_, index) => index % 251);
        await storage.put("lib/it/large", bytes);
        const source = await storage.open();
        const read = async (range?: { start: number; end: number }) =>
          new Uint8Array(await buffer((await source.open("i", "large", range))!));
        expect(await read()).toEqual(bytes);
        for (const [start, end] of [
          [0, 0],
          [0, 199_999],
          [199_999, 199_999],
          [70_001, 140_002],
        ] as const) {
          expect(await read({ start, end })).toEqual(bytes.subarray(start, end + 1));
        }
      });

      it("may be empty", async () => {
        await declare("lib/it/.item.json", { id: "i" });
        await storage.put("lib/it/empty", "");
        const source = await storage.open();
        expect(await text((await source.open("i", "empty"))!)).toBe("");
        await expect(source.open("i", "empty", { start: 0, end: 0 })).rejects.toThrow(RangeError);
      });

      it.each([
        { start: 5, end: 4 },
        { start: -1, end: 4 },
        { start: 0, end: 17 },
        { start: 17, end: 17 },
        { start: 0.5, end: 4 },
        { start: 0, end: Number.NaN },
        { start: 0, end: Number.POSITIVE_INFINITY },
      ])("are not read from $start to $end when those are not bytes of theirs", async (range) => {
        await putItem("lib/it", "i");
        const source = await storage.open();
        await expect(source.open("i", "data", range)).rejects.toThrow(RangeError);
      });

      it("that are not an item's own can't be opened", async () => {
        await putItem("lib/it", "i");
        await putItem("lib/other", "o");
        await storage.put("lib/it/folder/nested", "x");
        const source = await storage.open();
        for (const name of [
          ...[
            "",
            ".",
            "..",
            "/",
            "./data",
            "../it/data",
            "../other/data",
            "../../lib/it/data",
            "data/",
            "data/..",
          ],
          ...[
            ".item.json",
            "folder",
            "folder/nested",
            "nested",
            "data\0",
            "\0",
            "/etc/passwd",
            "%2e%2e",
            "no",
          ],
          ...["x".repeat(256), "x".repeat(100_000), "\ud800"],
        ]) {
          expect(await source.open("i", name), JSON.stringify(name.slice(0, 20))).toBeUndefined();
        }
        expect(await text((await source.open("i", "data"))!)).toBe("content of lib/it");
      });
    });

    describe("content version", () => {
      const changes: Record<string, () => Promise<void>> = {
        "a file is added": () => storage.put("lib/it/more", "x"),
        "a file is removed": () => storage.remove("lib/it/extra"),
        "a file grows": () => storage.put("lib/it/data", "content of lib/it, and more"),
        "a file changes and keeps its size": () => storage.put("lib/it/data", "CONTENT OF LIB/IT"),
      };
      it.each(Object.keys(changes))("changes when %s, in every replica alike", async (change) => {
        await putItem("lib/it", "i");
        await storage.put("lib/it/extra", "x");
        const sources = [await storage.open(), await storage.open()];
        const versions = () =>
          Promise.all(sources.map(async (source) => (await source.item("i"))?.contentVersion));
        const before = await versions();
        expect(await versions()).toEqual(before);
        await changes[change]!();
        const after = await versions();
        expect(after[0]).not.toBe(before[0]);
        expect(before[1]).toBe(before[0]);
        expect(after[1]).toBe(after[0]);
      });

      it("stays when only metadata changes", async () => {
        await putItem("lib/it", "i");
        const source = await storage.open();
        const before = await source.item("i");
        await declare("lib/it/.item.json", { id: "i", description: "new" });
        expect(await source.item("i")).toEqual({ ...before, description: "new", ...times });
      });
    });

    describe("the version of a file", () => {
      it("changes when the file does, and with no other", async () => {
        await putItem("lib/it", "i");
        await storage.put("lib/it/other", "x");
        const [source, replica] = [await storage.open(), await storage.open()];
        const [data, other] = (await source.files("i"))!;
        await storage.put("lib/it/data", "CONTENT OF LIB/IT");
        const [dataNow, otherNow] = (await source.files("i"))!;
        expect(dataNow?.version).not.toBe(data?.version);
        expect(otherNow).toEqual(other);
        expect(await replica.files("i")).toEqual([dataNow, otherNow]);
      });
    });

    describe("times", () => {
      it("of an item move on with its metadata and its files, in every replica alike", async () => {
        await putItem("lib/it", "i");
        const sources = [await storage.open(), await storage.open()];
        let last = (await sources[0]!.item("i"))!;
        const isWhole = Number.isInteger(last.createdAt) && Number.isInteger(last.modifiedAt);
        expect([isWhole, last.createdAt <= last.modifiedAt]).toEqual([true, true]);
        for (const change of [
          () => storage.put("lib/it/data", "changed"),
          () => storage.put("lib/it/more", "x"),
          () => storage.remove("lib/it/more"),
          () => declare("lib/it/.item.json", { id: "i", description: "new" }),
        ]) {
          await change();
          const [now, replica] = await Promise.all(sources.map((source) => source.item("i")));
          expect(now!.modifiedAt).toBeGreaterThan(last.modifiedAt);
          expect(now!.createdAt).toBeLessThanOrEqual(now!.modifiedAt);
          expect(replica).toEqual(now);
          last = now!;
        }
      });

      it("of a library that declares something do not move with its items", async () => {
        await declare("lib/.library.json", { id: "l" });
        const source = await storage.open();
        const before = (await source.library("l"))!;
        await putItem("lib/it", "i");
        expect(await source.library("l")).toEqual(before);
        await declare("lib/.library.json", { id: "l", description: "new" });
        expect((await source.library("l"))!.modifiedAt).toBeGreaterThan(before.modifiedAt);
      });
    });

    describe("changes of the storage", () => {
      it("a new item is there at once, however soon after the last look", async () => {
        const source = await storage.open();
        for (let round = 0; round < 50; round++) {
          const id = `i${round}`;
          expect(await source.item(id)).toBeUndefined();
          await putItem(`lib${round % 3}/it${round}`, id);
          expect((await source.item(id))?.name).toBe(`it${round}`);
        }
      });

      it("a new item is there for all who ask at the same time", async () => {
        await putItem("lib/it", "i");
        const [source] = [await storage.open()];
        await putItem("lib/new", "n");
        const asked = Array.from({ length: 100 }, (_, index) => source.item(index % 2 ? "n" : `no${index}`));
        const found = await Promise.all(asked);
        expect(found.map((item) => item?.id)).toEqual(found.map((_, index) => (index % 2 ? "n" : undefined)));
      });

      it("a removed item or library is gone at once", async () => {
        await putItem("lib/it", "i");
        await putItem("lib/stays", "s");
        await putItem("other/it", "o");
        const source = await storage.open();
        await storage.remove("lib/it");
        await storage.remove("other");
        for (const id of ["i", "o"]) {
          expect(await source.item(id)).toBeUndefined();
          expect(await source.files(id)).toBeUndefined();
          expect(await source.open(id, "data")).toBeUndefined();
        }
        const libraries = await source.libraries();
        expect(namesOf(libraries)).toEqual(["lib"]);
        expect(await source.items()).toEqual([{ id: "s", libraryId: libraries[0]!.id, name: "stays" }]);
        expect((await source.item("s"))?.name).toBe("stays");
      });

      it("an item whose declared id changes leaves the old one at once and has the new one soon", async () => {
        await putItem("lib/it", "old");
        const source = await storage.open();
        expect(await source.item("old")).toBeDefined();
        await declare("lib/it/.item.json", { id: "new" });
        expect(await source.item("old")).toBeUndefined();
        const item = await eventually("the new id to be known", () => source.item("new"));
        expect(item.name).toBe("it");
      });

      it("new and removed items are in the next list, changed ids and types in one soon after", async () => {
        await putItem("lib/it", "old");
        const source = await storage.open();
        const listed = async () => (await source.items())!.map(({ id, type }) => [id, type]);
        for (let round = 0; round < 20; round++) {
          await putItem("lib/new", "n");
          expect(await listed()).toEqual([
            ["old", undefined],
            ["n", undefined],
          ]);
          await storage.remove("lib/new");
          expect(await listed()).toEqual([["old", undefined]]);
        }
        await declare("lib/it/.item.json", { id: "new" });
        await storage.put("lib/it/a.iso", "x");
        await eventually("the new id and type", async () => String(await listed()) === "new,iso");
      });

      it("a library whose declared id changes leaves the old one at once and has the new one soon", async () => {
        await declare("lib/.library.json", { id: "old" });
        const source = await storage.open();
        expect(await source.library("old")).toBeDefined();
        await declare("lib/.library.json", { id: "new" });
        expect(await source.library("old")).toBeUndefined();
        await eventually("the new id to be known", () => source.library("new"));
      });
    });

    describe("metadata that is broken", () => {
      const broken: Record<string, string | Uint8Array> = {
        "not JSON": '{"id": "i"',
        "not an object": '["i"]',
        "not UTF-8": Uint8Array.from([0x22, 0xff, 0x22]),
        "an empty id": '{"id": ""}',
        "an id that is too long": JSON.stringify({ id: "\u00e9".repeat(129) }),
        "an id with a control character": '{"id": "a\\u0000b"}',
        "an id that is a number": '{"id": 7}',
        "a description that is a number": '{"id": "i", "description": 7}',
        "an empty type": '{"id": "i", "type": ""}',
        "much too large": JSON.stringify({ id: "i", description: "x".repeat(100_000) }),
      };

      it.each(Object.keys(broken))("leaves its item out and says so: %s", async (what) => {
        await storage.put("lib/it/data", "x");
        await declare("lib/.library.json", { id: "l" });
        const [derived] = (await (await storage.open()).items("l"))!;
        await storage.put("lib/it/.item.json", broken[what]!);
        await putItem("lib/fine", "f");
        const source = await storage.open();
        expect(namesOf(await source.items("l"))).toEqual(["fine"]);
        expect(await source.item("i")).toBeUndefined();
        expect(await source.item(derived!.id)).toBeUndefined();
        expect(storage.warnings).toEqual([expect.stringMatching(/^"lib\/it" .*\.item\.json/)]);
      });

      it("leaves its library out with all items, until it is mended", async () => {
        await putItem("lib/it", "i");
        await storage.put("lib/.library.json", "{");
        const source = await storage.open();
        expect(await source.libraries()).toEqual([]);
        expect(await source.item("i")).toBeUndefined();
        expect(storage.warnings).toEqual([expect.stringMatching(/^"lib" .*\.library\.json/)]);
        await declare("lib/.library.json", { id: "l" });
        const item = await eventually("the item to be back", () => source.item("i"));
        expect(item.libraryId).toBe("l");
      });
    });

    describe("ids that are declared twice", () => {
      it("belong to the first item by library and item name, until it is gone", async () => {
        await putItem("b/a", "i");
        await putItem("a/z", "i");
        await putItem("a/y", "i");
        const source = await storage.open();
        expect(await source.item("i")).toMatchObject({ name: "y" });
        for (const { id, name } of await source.libraries()) {
          expect(namesOf(await source.items(id))).toEqual(name === "a" ? ["y"] : []);
        }
        expect(storage.warnings).toEqual([
          '"a/z" is left out: its id i belongs to "a/y"',
          '"b/a" is left out: its id i belongs to "a/y"',
        ]);
        await storage.remove("a/y");
        expect(await source.item("i")).toMatchObject({ name: "z" });
      });

      it("belong to the first library", async () => {
        for (const library of ["b", "a"]) {
          await declare(`${library}/.library.json`, { id: "l" });
          await putItem(`${library}/it`, `in-${library}`);
        }
        const source = await storage.open();
        expect(await source.libraries()).toEqual([{ id: "l", name: "a", ...times }]);
        expect((await source.library("l"))?.name).toBe("a");
        expect((await source.items("l"))?.map(({ id }) => id)).toEqual(["in-a"]);
        expect(await source.item("in-b")).toBeUndefined();
        expect(storage.warnings).toEqual(['"b" is left out: its id l belongs to "a"']);
      });
    });

    it("storage that can't be reached is unavailable, not empty", async () => {
      await putItem("lib/it", "i");
      const source = await storage.open();
      const [library] = await source.libraries();
      await storage.breakDown();
      for (const call of [
        () => source.libraries(),
        () => source.library(library!.id),
        () => source.items(library!.id),
        () => source.items(),
        ...["i", "unknown"].flatMap((id) => [
          () => source.item(id),
          () => source.files(id),
          () => source.open(id, "data"),
        ]),
      ]) {
        await expect(call()).rejects.toMatchObject({
          name: "ServiceError",
          messageId: "downlease.content.unavailable",
        });
      }
    });
  });
}
