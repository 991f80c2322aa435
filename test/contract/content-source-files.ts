import { describe, expect, it } from "vitest";
import { ContentChangedError } from "../../src/domain/content-source.ts";
import { bytesOf, filesOf, openCurrent, textOf } from "../support/content-files.ts";
import { type ContentStorage, useContentStage } from "./content-source-stage.ts";

/** What every implementation of the port must do with the files of items. */
export function contentFilesContract(implementation: string, createStorage: () => Promise<ContentStorage>) {
  describe(`files of a content source: ${implementation}`, () => {
    const stage = useContentStage(createStorage);
    const version = expect.stringMatching(/^[0-9a-f]{16}$/);
    const times = { createdAt: expect.any(Number), modifiedAt: expect.any(Number) };

    describe("files", () => {
      it("are listed by name with their sizes; hidden and nested ones are not content", async () => {
        await stage.putItem("lib/it", "i");
        await stage.storage.put("lib/it/B", "four");
        await stage.storage.put("lib/it/\u00e9", "");
        await stage.storage.put("lib/it/.hidden", "x");
        await stage.storage.put("lib/it/folder/nested", "x");
        const source = await stage.storage.open();
        expect(await filesOf(source, "i")).toEqual([
          { name: "B", size: 4, version },
          { name: "data", size: 17, version },
          { name: "\u00e9", size: 0, version },
        ]);
        expect((await source.item("i"))?.size).toBe(21);
      });

      it("are listed with their content version", async () => {
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
        const versions = new Set<string>();
        for (const content of ["", "one", "other"]) {
          await stage.storage.put("lib/it/more", content);
          const { contentVersion } = (await source.item("i"))!;
          const files = await filesOf(source, "i");
          expect(await source.contents("i")).toEqual({ place: "lib/it", contentVersion, files });
          versions.add(contentVersion);
        }
        expect(versions.size).toBe(3);
        expect(await source.contents("nobody")).toBeUndefined();
      });

      it("have the checksums of the manifests next to them, and none when a manifest is broken", async () => {
        const [sha1, sha256] = ["a".repeat(40), "b".repeat(64)];
        await stage.storage.put("lib/item/a.ovf", "a");
        await stage.storage.put("lib/item/b.vmdk", "b");
        await stage.storage.put("lib/item/c.mf", `SHA256(a.ovf)= ${sha256}\nSHA1(gone)= ${sha1}\n`);
        await stage.storage.put("lib/item/d.mf", `SHA1(a.ovf)= ${sha1}\nSHA256(a.ovf)= ${"c".repeat(64)}\n`);
        const source = await stage.storage.open();
        const [item] = (await source.items()) ?? [];
        const checksums = async () =>
          (await filesOf(source, item!.id))?.map((file) => [file.name, file.checksums]);
        expect(await checksums()).toEqual([
          ["a.ovf", { SHA1: sha1, SHA256: sha256 }],
          ["b.vmdk", undefined],
          ["c.mf", undefined],
          ["d.mf", undefined],
        ]);
        await stage.storage.put("lib/item/c.mf", "SHA256(a.ovf)= no\n");
        await stage.storage.remove("lib/item/d.mf");
        expect((await checksums())?.[0]).toEqual(["a.ovf", undefined]);
        expect(stage.storage.warnings.at(-1)).toMatch(/"lib\/item\/c\.mf" is ignored as a manifest: line 1 /);
      });

      it("that are not an item's own can't be opened", async () => {
        await stage.putItem("lib/it", "i");
        await stage.putItem("lib/other", "o");
        await stage.storage.put("lib/it/folder/nested", "x");
        const source = await stage.storage.open();
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
          expect(await openCurrent(source, "i", name), JSON.stringify(name.slice(0, 20))).toBeUndefined();
        }
        expect(await textOf(source, "i", "data")).toBe("content of lib/it");
      });
    });

    describe("a file", () => {
      it("is read whole or in part, both ends included, by several readers", async () => {
        await stage.declare("lib/it/.item.json", { id: "i" });
        const bytes = Uint8Array.from({ length: 200_000 }, (_, index) => index % 251);
        await stage.storage.put("lib/it/large", bytes);
        const source = await stage.storage.open();
        await using file = (await openCurrent(source, "i", "large"))!;
        const [listed] = (await filesOf(source, "i"))!;
        expect([file.size, file.version]).toEqual([200_000, listed!.version]);
        expect(Buffer.compare(await bytesOf(file), bytes)).toBe(0);
        const ranges = [
          { start: 0, end: 0 },
          { start: 0, end: 199_999 },
          { start: 199_999, end: 199_999 },
          { start: 70_001, end: 140_002 },
        ];
        const parts = await Promise.all(ranges.map((range) => bytesOf(file, range, 7_001)));
        for (const [index, { start, end }] of ranges.entries()) {
          expect(Buffer.compare(parts[index]!, bytes.subarray(start, end + 1)), `${start} to ${end}`).toBe(0);
        }
      });

      it("fills no more than its buffer, and stays at its end", async () => {
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
        await using file = (await openCurrent(source, "i", "data"))!;
        const reader = file.reader({ start: 8, end: 10 });
        const into = new Uint8Array(8).fill(0x2e);
        let filled = 0;
        while (filled < 3) filled += await reader.read(into.subarray(filled, filled + 2));
        expect(Buffer.from(into).toString()).toBe("of .....");
        expect([await reader.read(into), await reader.read(into)]).toEqual([0, 0]);
        expect(Buffer.from(into).toString()).toBe("of .....");
      });

      it("that is empty is at its end at once, and has no ranges", async () => {
        await stage.declare("lib/it/.item.json", { id: "i" });
        await stage.storage.put("lib/it/empty", "");
        const source = await stage.storage.open();
        await using file = (await openCurrent(source, "i", "empty"))!;
        expect(file.size).toBe(0);
        expect(await file.reader().read(new Uint8Array(1))).toBe(0);
        for (const end of [-1, 0]) expect(() => file.reader({ start: 0, end })).toThrow(RangeError);
      });

      it.each([
        { start: 5, end: 4 },
        { start: -1, end: 4 },
        { start: 0, end: 17 },
        { start: 17, end: 17 },
        { start: 0.5, end: 4 },
        { start: 0, end: Number.NaN },
        { start: 0, end: Number.POSITIVE_INFINITY },
      ])("is not read from $start to $end when those are not bytes of it", async (range) => {
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
        await using file = (await openCurrent(source, "i", "data"))!;
        expect(() => file.reader(range)).toThrow(RangeError);
      });

      it("is not opened in another content version than the item's", async () => {
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
        const { contentVersion } = (await source.item("i"))!;
        for (const wrong of ["", "0", contentVersion.slice(1), contentVersion.toUpperCase(), "__proto__"]) {
          if (wrong !== contentVersion) expect(await source.openFile("i", "data", wrong)).toBeUndefined();
        }
        await stage.storage.put("lib/it/more", "x");
        expect(await source.openFile("i", "data", contentVersion)).toBeUndefined();
        await using file = await openCurrent(source, "i", "data");
        expect(file?.size).toBe(17);
      });

      it("that is overwritten is never read as a mixture, and not opened again", async () => {
        await stage.declare("lib/it/.item.json", { id: "i" });
        const size = 3_000_000;
        const [first, second] = [1, 2].map((byte) => new Uint8Array(size).fill(byte));
        await stage.storage.put("lib/it/large", first!);
        const source = await stage.storage.open();
        await using file = (await openCurrent(source, "i", "large"))!;
        const reader = file.reader();
        const read = [new Uint8Array(10)];
        await reader.read(read[0]!);
        await stage.storage.put("lib/it/large", second!);
        const readOn = async () => {
          for (;;) {
            const into = new Uint8Array(65_536);
            const count = await reader.read(into);
            if (count === 0) return "whole";
            read.push(into.subarray(0, count));
          }
        };
        const outcome = await readOn().catch((error: unknown) => error);
        if (outcome === "whole") expect(Buffer.compare(Buffer.concat(read), first!)).toBe(0);
        else expect(outcome).toBeInstanceOf(ContentChangedError);
        for (const range of [undefined, { start: size - 1, end: size - 1 }]) {
          const again = await bytesOf(file, range).catch((error: unknown) => error);
          if (stage.storage.keepsVersions && again instanceof Uint8Array)
            expect(new Set(again)).toEqual(new Set([1]));
          else expect(again).toBeInstanceOf(ContentChangedError);
        }
      });

      it("is not read any more once it is closed", async () => {
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
        const file = (await openCurrent(source, "i", "data"))!;
        const reader = file.reader();
        await file.close();
        await expect(reader.read(new Uint8Array(9))).rejects.toThrow("the file is closed");
        await file.close();
      });
    });

    describe("content version", () => {
      const changes: Record<string, () => Promise<void>> = {
        "a file is added": () => stage.storage.put("lib/it/more", "x"),
        "a file is removed": () => stage.storage.remove("lib/it/extra"),
        "a file grows": () => stage.storage.put("lib/it/data", "content of lib/it, and more"),
        "a file changes and keeps its size": () => stage.storage.put("lib/it/data", "CONTENT OF LIB/IT"),
      };
      it.each(Object.keys(changes))("changes when %s, in every replica alike", async (change) => {
        await stage.putItem("lib/it", "i");
        await stage.storage.put("lib/it/extra", "x");
        const sources = [await stage.storage.open(), await stage.storage.open()];
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
        await stage.putItem("lib/it", "i");
        const source = await stage.storage.open();
        const before = await source.item("i");
        await stage.declare("lib/it/.item.json", { id: "i", description: "new" });
        expect(await source.item("i")).toEqual({ ...before, description: "new", ...times });
      });
    });

    describe("the version of a file", () => {
      it("changes when the file does, and with no other", async () => {
        await stage.putItem("lib/it", "i");
        await stage.storage.put("lib/it/other", "x");
        const [source, replica] = [await stage.storage.open(), await stage.storage.open()];
        const [data, other] = (await filesOf(source, "i"))!;
        await stage.storage.put("lib/it/data", "CONTENT OF LIB/IT");
        const [dataNow, otherNow] = (await filesOf(source, "i"))!;
        expect(dataNow?.version).not.toBe(data?.version);
        expect(otherNow).toEqual(other);
        expect(await filesOf(replica, "i")).toEqual([dataNow, otherNow]);
      });
    });

    describe("times", () => {
      it("of an item move on with its metadata and its files, in every replica alike", async () => {
        await stage.putItem("lib/it", "i");
        const sources = [await stage.storage.open(), await stage.storage.open()];
        let last = (await sources[0]!.item("i"))!;
        const isWhole = Number.isInteger(last.createdAt) && Number.isInteger(last.modifiedAt);
        expect([isWhole, last.createdAt <= last.modifiedAt]).toEqual([true, true]);
        for (const change of [
          () => stage.storage.put("lib/it/data", "changed"),
          () => stage.storage.put("lib/it/more", "x"),
          ...(stage.storage.recordsRemovals ? [() => stage.storage.remove("lib/it/more")] : []),
          () => stage.declare("lib/it/.item.json", { id: "i", description: "new" }),
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
        await stage.declare("lib/.library.json", { id: "l" });
        const source = await stage.storage.open();
        const before = (await source.library("l"))!;
        await stage.putItem("lib/it", "i");
        expect(await source.library("l")).toEqual(before);
        await stage.declare("lib/.library.json", { id: "l", description: "new" });
        expect((await source.library("l"))!.modifiedAt).toBeGreaterThan(before.modifiedAt);
      });
    });
  });
}
