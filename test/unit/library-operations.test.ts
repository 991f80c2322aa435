import { create, type DescMethodUnary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  ChecksumInfo_ChecksumAlgorithm,
  ItemFileService,
} from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemStorageService } from "../../gen/content/library/item/v1/item_storage_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryModel_LibraryType, LibraryService } from "../../gen/content/v1/library_pb.ts";
import type { Call } from "../../src/calls/call.ts";
import type {
  ContentSource,
  ItemEntry,
  ItemFile,
  Library,
  LibraryItem,
} from "../../src/domain/content-source.ts";
import { itemStorageOperations } from "../../src/operations/item-storage.ts";
import { libraryOperations } from "../../src/operations/library.ts";
import { callerNamed } from "../support/callers.ts";

const times = { createdAt: 1_000, modifiedAt: 2_000 };
const caller = callerNamed("alice", "storage");

/** A content source with only the methods that a test expects calls of. */
function sourceOf(parts: Partial<ContentSource>): ContentSource {
  return parts as ContentSource;
}

async function run<M extends DescMethodUnary>(
  content: ContentSource,
  method: M,
  request: MessageInitShape<M["input"]>,
): Promise<MessageShape<M["output"]>> {
  const rows = [...libraryOperations(content), ...itemStorageOperations(content)];
  const row = rows.find((candidate) => candidate.method === method)!;
  return row.run(create(method.input, request as never), caller, {} as Call) as never;
}

describe("find", () => {
  const entries: ItemEntry[] = ["ΟΔΟΣ", "οδος", "οδοσ", "İ", "STRASSE", "straße"].map((name) => ({
    id: name,
    libraryId: "l",
    name,
  }));
  const content = sourceOf({ items: async () => entries });
  const find = async (name: string) =>
    (await run(content, ItemService.method.find, { spec: { name } })).libraryItemIds;

  test("ignores the case of names", async () => {
    for (const name of ["ΟΔΟΣ", "οδος", "οδοσ"]) expect(await find(name)).toEqual(["ΟΔΟΣ", "οδος", "οδοσ"]);
    expect(await find("straSSe")).toContain("STRASSE");
    expect(await find("strasse ")).toEqual([]);
    expect(await find("ο")).toEqual([]);
  });

  test("does not ask the source for names that can't exist", async () => {
    const none = sourceOf({});
    for (const spec of [{ sourceId: "x" }, { cached: false }, { cached: false, name: "x", libraryId: "l" }]) {
      expect((await run(none, ItemService.method.find, { spec })).libraryItemIds).toEqual([]);
    }
    const spec = { type: LibraryModel_LibraryType.SUBSCRIBED };
    expect((await run(none, LibraryService.method.find, { spec })).libraryIds).toEqual([]);
  });
});

describe("long lists", () => {
  const many = Array.from({ length: 200 }, (_, n) => ({
    id: `${n}`,
    libraryId: "l",
    name: `n${n}`,
    ...times,
  }));
  const content = sourceOf({
    libraries: async () => many,
    items: async () => many,
    contents: async () => ({
      place: "l/i",
      contentVersion: "v",
      files: many.map(({ name }) => ({ name, size: 1, version: "v" })),
    }),
  });
  const lists: Record<string, () => Promise<unknown>> = {
    libraries: () => run(content, LibraryService.method.list, {}),
    "libraries that are looked for": () => run(content, LibraryService.method.find, { spec: { name: "n1" } }),
    items: () => run(content, ItemService.method.list, { libraryId: "l" }),
    "items that are looked for": () => run(content, ItemService.method.find, { spec: { name: "n1" } }),
    files: () => run(content, ItemFileService.method.list, { libraryItemId: "i" }),
    "files where they are stored": () => run(content, ItemStorageService.method.list, { libraryItemId: "i" }),
  };

  test.each(Object.keys(lists))("of %s are answered one in a turn of the event loop", async (name) => {
    let turn = 0;
    const count = () => {
      turn++;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const answers = [1, 2, 3].map(async () => {
      await lists[name]!();
      return turn;
    });
    const turns = await Promise.all(answers);
    clearImmediate(counting);
    expect(new Set(turns).size).toBe(3);
  });
});

describe("versions", () => {
  const versionOfLibrary = async (library: Partial<Library>) => {
    const content = sourceOf({ library: async () => ({ id: "l", name: "n", ...times, ...library }) });
    return (await run(content, LibraryService.method.get, { libraryId: "l" })).library!.version;
  };
  const versionOfItem = async (item: Partial<LibraryItem>) => {
    const usual = { id: "i", libraryId: "l", name: "n", contentVersion: "c", size: 1, ...times };
    const content = sourceOf({ item: async () => ({ ...usual, ...item }) });
    return (await run(content, ItemService.method.get, { libraryItemId: "i" })).libraryItem!.version;
  };

  test("of a library and an item depend on their metadata, not on their content", async () => {
    const library = await versionOfLibrary({});
    expect(await versionOfLibrary({ modifiedAt: 3_000 })).toBe(library);
    expect(await versionOfLibrary({ name: "other" })).not.toBe(library);
    expect(await versionOfLibrary({ description: "n" })).not.toBe(library);
    const item = await versionOfItem({});
    expect(await versionOfItem({ contentVersion: "d", size: 2, modifiedAt: 3_000 })).toBe(item);
    expect(await versionOfItem({ description: "x" })).not.toBe(item);
    expect(await versionOfItem({ type: "x" })).not.toBe(item);
  });
});

describe("a file", () => {
  const fileWith = async (checksums: ItemFile["checksums"]) => {
    const file = { name: "f", size: 2 ** 52, version: "v", ...(checksums && { checksums }) };
    const content = sourceOf({
      contents: async () => ({ place: "l/i", contentVersion: "v", files: [file] }),
    });
    const request = { libraryItemId: "i", name: "f" };
    return (await run(content, ItemFileService.method.get, request)).file!;
  };

  test.each([
    { checksums: { MD5: "a", SHA1: "b", SHA256: "c", SHA512: "d" }, strongest: ["SHA512", "d"] as const },
    { checksums: { MD5: "a", SHA256: "c", SHA1: "b" }, strongest: ["SHA256", "c"] as const },
    { checksums: { MD5: "a", SHA1: "b" }, strongest: ["SHA1", "b"] as const },
    { checksums: { MD5: "a" }, strongest: ["MD5", "a"] as const },
  ])("has its strongest checksum: $strongest", async ({ checksums, strongest: [algorithm, checksum] }) => {
    const { checksumInfo } = await fileWith(checksums);
    expect(checksumInfo).toMatchObject({ algorithm: ChecksumInfo_ChecksumAlgorithm[algorithm], checksum });
  });

  test("has no checksum when the source has none", async () => {
    for (const checksums of [undefined, {}]) {
      const { checksumInfo, size } = await fileWith(checksums);
      expect(checksumInfo).toBeUndefined();
      expect(size).toBe(2n ** 52n);
    }
  });
});
