import { describe, expect, it } from "vitest";
import { filesOf } from "../support/content-files.ts";
import { eventually } from "../support/eventually.ts";
import { type ContentStorage, useContentStage } from "./content-source-stage.ts";

const uuidV5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** What every implementation of the port must do, except for what is in files. */
export function contentSourceContract(implementation: string, createStorage: () => Promise<ContentStorage>) {
  describe(`content source: ${implementation}`, () => {
    const stage = useContentStage(createStorage);
    const times = { createdAt: expect.any(Number), modifiedAt: expect.any(Number) };
    const namesOf = (entries: readonly { readonly name: string }[] | undefined) =>
      entries?.map(({ name }) => name);

    describe("libraries and items", () => {
      it("are listed by name, in an order that no locale changes", async () => {
        for (const name of ["b", "B", "a", "\u00e9", "z"]) {
          await stage.storage.put(`${name}/item/file`, "x");
          await stage.storage.put(`a/${name}/file`, "x");
        }
        const source = await stage.storage.open();
        const libraries = await source.libraries();
        expect(namesOf(libraries)).toEqual(["B", "a", "b", "z", "\u00e9"]);
        const ofA = await source.items(libraries[1]!.id);
        expect(namesOf(ofA)).toEqual(["B", "a", "b", "item", "z", "\u00e9"]);
      });

      it("have ids derived from their names, the same in every replica", async () => {
        await stage.storage.put("one/same/file", "x");
        await stage.storage.put("two/same/file", "x");
        const [source, replica] = [await stage.storage.open(), await stage.storage.open()];
        const libraries = await source.libraries();
        const [one, two] = libraries;
        const items = [...(await source.items(one!.id))!, ...(await source.items(two!.id))!];
        expect(await source.items()).toEqual(items);
        const ids = [...libraries, ...items].map(({ id }) => id);
        expect(new Set(ids).size).toBe(4);
        for (const id of ids) expect(id).toMatch(uuidV5);
        expect(source.id).toMatch(uuidV5);
        expect(source.location).toMatch(/^(file|s3):\/\/.+[^/]$/);
        expect([replica.id, replica.location]).toEqual([source.id, source.location]);
        expect(await replica.libraries()).toEqual(libraries);
        expect(await replica.library(two!.id)).toEqual(two);
        expect(await replica.items()).toEqual(items);
        const item = await replica.item(items[1]!.id);
        expect(item).toMatchObject(items[1]!);
        expect(await source.item(items[1]!.id)).toEqual(item);
      });

      it("have what their metadata declares", async () => {
        await stage.declare("lib/.library.json", { id: "l", description: "about l", owner: "ignored" });
        await stage.declare("lib/it/.item.json", { id: "i", description: "about i", type: "custom", a: 1 });
        await stage.storage.put("lib/it/a.iso", "12345");
        const source = await stage.storage.open();
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

      it("leave out members that are not declared", async () => {
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
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
        await stage.declare("lib/it/.item.json", { id: "i" });
        for (const file of files) await stage.storage.put(`lib/it/${file}`, "x");
        const source = await stage.storage.open();
        expect((await source.item("i"))?.type).toBe(type);
        expect((await source.items())?.[0]?.type).toBe(type);
      });

      it("that don't exist are undefined", async () => {
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
        const { contentVersion } = (await source.item("i"))!;
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
          expect(await filesOf(source, id)).toBeUndefined();
          expect(await source.openFile(id, "data", contentVersion)).toBeUndefined();
        }
      });
    });

    describe("changes of the storage", () => {
      it("a new item is there when it is noticed, however soon after the last look", async () => {
        const source = await stage.storage.open();
        for (let round = 0; round < (stage.storage.noticesAtOnce ? 50 : 3); round++) {
          const id = `i${round}`;
          expect(await source.item(id)).toBeUndefined();
          await stage.putItem(`lib${round % 3}/it${round}`, id);
          await stage.storage.noticed(async () => {
            expect((await source.item(id))?.name).toBe(`it${round}`);
          });
        }
      });

      it("a new item is found by all concurrent callers", async () => {
        await stage.putItem("lib/it", "i");
        const [source] = [await stage.storage.open()];
        await stage.putItem("lib/new", "n");
        await stage.storage.noticed(async () => {
          const lookups = Array.from({ length: 100 }, (_, index) =>
            source.item(index % 2 ? "n" : `no${index}`),
          );
          const items = await Promise.all(lookups);
          expect(items.map((item) => item?.id)).toEqual(
            items.map((_, index) => (index % 2 ? "n" : undefined)),
          );
        });
      });

      it("a removed item or library is gone at once", async () => {
        await stage.putItem("lib/it", "i");
        await stage.putItem("lib/stays", "s");
        await stage.putItem("other/it", "o");
        const source = await stage.storage.open();
        const versions = new Map((await source.items())!.map(({ id }) => [id, ""]));
        for (const id of versions.keys()) versions.set(id, (await source.item(id))!.contentVersion);
        await stage.storage.remove("lib/it");
        await stage.storage.remove("other");
        for (const id of ["i", "o"]) {
          expect(await source.item(id)).toBeUndefined();
          expect(await filesOf(source, id)).toBeUndefined();
          expect(await source.openFile(id, "data", versions.get(id)!)).toBeUndefined();
        }
        await stage.storage.noticed(async () => {
          const libraries = await source.libraries();
          expect(namesOf(libraries)).toEqual(["lib"]);
          expect(await source.items()).toEqual([{ id: "s", libraryId: libraries[0]!.id, name: "stays" }]);
        });
        expect((await source.item("s"))?.name).toBe("stays");
      });

      it("an item whose declared id changes leaves the old one at once and has the new one soon", async () => {
        await stage.putItem("lib/it", "old");
        const source = await stage.storage.open();
        expect(await source.item("old")).toBeDefined();
        await stage.declare("lib/it/.item.json", { id: "new" });
        expect(await source.item("old")).toBeUndefined();
        const item = await eventually("the new id to be indexed", () => source.item("new"));
        expect(item.name).toBe("it");
      });

      it("new and removed items are in lists when they are noticed, changed ids and types in one soon after", async () => {
        await stage.putItem("lib/it", "old");
        const source = await stage.storage.open();
        const listed = async () => (await source.items())!.map(({ id, type }) => [id, type]);
        for (let round = 0; round < (stage.storage.noticesAtOnce ? 20 : 1); round++) {
          await stage.putItem("lib/new", "n");
          await stage.storage.noticed(async () => {
            expect(await listed()).toEqual([
              ["old", undefined],
              ["n", undefined],
            ]);
          });
          await stage.storage.remove("lib/new");
          await stage.storage.noticed(async () => {
            expect(await listed()).toEqual([["old", undefined]]);
          });
        }
        await stage.declare("lib/it/.item.json", { id: "new" });
        await stage.storage.put("lib/it/a.iso", "x");
        await eventually("the new id and type", async () => String(await listed()) === "new,iso");
      });

      it("a library whose declared id changes leaves the old one at once and has the new one soon", async () => {
        await stage.declare("lib/.library.json", { id: "old" });
        const source = await stage.storage.open();
        expect(await source.library("old")).toBeDefined();
        await stage.declare("lib/.library.json", { id: "new" });
        expect(await source.library("old")).toBeUndefined();
        await eventually("the new id to be indexed", () => source.library("new"));
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
        await stage.storage.put("lib/it/data", "x");
        await stage.declare("lib/.library.json", { id: "l" });
        const [derived] = (await (await stage.storage.open()).items("l"))!;
        await stage.storage.put("lib/it/.item.json", broken[what]!);
        await stage.putItem("lib/fine", "f");
        const source = await stage.storage.open();
        expect(namesOf(await source.items("l"))).toEqual(["fine"]);
        expect(await source.item("i")).toBeUndefined();
        expect(await source.item(derived!.id)).toBeUndefined();
        expect(stage.storage.warnings).toEqual([expect.stringMatching(/^"lib\/it" .*\.item\.json/)]);
      });

      it("leaves its library out with all items, until it is mended", async () => {
        await stage.putItem("lib/it", "i");
        await stage.storage.put("lib/.library.json", "{");
        const source = await stage.storage.open();
        expect(await source.libraries()).toEqual([]);
        expect(await source.item("i")).toBeUndefined();
        expect(stage.storage.warnings).toEqual([expect.stringMatching(/^"lib" .*\.library\.json/)]);
        await stage.declare("lib/.library.json", { id: "l" });
        const item = await eventually("the item to be back", () => source.item("i"));
        expect(item.libraryId).toBe("l");
      });
    });

    describe("ids that are declared twice", () => {
      it("belong to the first item by library and item name, until it is gone", async () => {
        await stage.putItem("b/a", "i");
        await stage.putItem("a/z", "i");
        await stage.putItem("a/y", "i");
        const source = await stage.storage.open();
        expect(await source.item("i")).toMatchObject({ name: "y" });
        for (const { id, name } of await source.libraries()) {
          expect(namesOf(await source.items(id))).toEqual(name === "a" ? ["y"] : []);
        }
        expect(stage.storage.warnings).toEqual([
          '"a/z" is left out: its id i belongs to "a/y"',
          '"b/a" is left out: its id i belongs to "a/y"',
        ]);
        await stage.storage.remove("a/y");
        await stage.storage.noticed(async () => {
          expect(await source.item("i")).toMatchObject({ name: "z" });
        });
      });

      it("belong to the first library", async () => {
        for (const library of ["b", "a"]) {
          await stage.declare(`${library}/.library.json`, { id: "l" });
          await stage.putItem(`${library}/it`, `in-${library}`);
        }
        const source = await stage.storage.open();
        expect(await source.libraries()).toEqual([{ id: "l", name: "a", ...times }]);
        expect((await source.library("l"))?.name).toBe("a");
        expect((await source.items("l"))?.map(({ id }) => id)).toEqual(["in-a"]);
        expect(await source.item("in-b")).toBeUndefined();
        expect(stage.storage.warnings).toEqual(['"b" is left out: its id l belongs to "a"']);
      });
    });

    it("storage that can't be reached is unavailable, not empty", async () => {
      await stage.putItem("lib/it", "i");
      const source = await stage.storage.open();
      const [library] = await source.libraries();
      await stage.storage.breakDown();
      for (const call of [
        () => source.libraries(),
        () => source.library(library!.id),
        () => source.items(library!.id),
        () => source.items(),
        ...["i", "unknown"].flatMap((id) => [
          () => source.item(id),
          () => filesOf(source, id),
          () => source.openFile(id, "data", "any"),
        ]),
      ]) {
        await stage.storage.noticed(async () => {
          await expect(call()).rejects.toMatchObject({
            name: "ServiceError",
            messageId: "downlease.content.unavailable",
          });
        });
      }
    });
  });
}
