import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ItemContents } from "../../src/domain/content-source.ts";
import { PrepareAhead } from "../../src/preparation/prepare-ahead.ts";
import { SharedPreparations } from "../../src/preparation/shared-preparations.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryContent } from "../support/memory-content.ts";
import { MemoryPreparationStore } from "../support/memory-preparation-store.ts";

let store: MemoryPreparationStore;
let content: MemoryContent;
let ends: (() => unknown)[];
const mebi = 1024 * 1024;

beforeEach(() => {
  store = new MemoryPreparationStore();
  content = new MemoryContent();
  content.maxReadBytes = mebi;
  ends = [];
});
afterEach(async () => {
  for (const end of ends.reverse()) await end();
});

function newProcess(): SharedPreparations {
  const terms = { startWaitMs: 10_000, reportMs: 20 };
  const preparations = new SharedPreparations({ store, content: content.source, terms });
  ends.push(() => preparations.close());
  return preparations;
}

/** The item with the files that it has now. */
function ahead(preparations: SharedPreparations, which: "new" | "all"): void {
  const contents = (): ItemContents => ({
    place: "",
    contentVersion: content.contentVersion,
    files: [...content.files].map(([name, { bytes }]) => ({ name, size: bytes.length, version: "1" })),
  });
  const source = {
    items: async () => [{ id: content.itemId, libraryId: "lib", name: "item" }],
    contents: async () => contents(),
  };
  const prepareAhead = new PrepareAhead({ content: source, preparations, which, roundMs: 20 });
  ends.push(() => prepareAhead.close());
}

const isPrepared = async (name: string) => {
  const file = { itemId: content.itemId, contentVersion: content.contentVersion, fileName: name };
  return (await store.find([file]))[0]?.status === "PREPARED";
};

describe("files are prepared before they are requested", () => {
  test("one at a time, and once over all processes", async () => {
    let reading = 0;
    let max = 0;
    for (const name of ["a", "b", "c"]) {
      const onRead = async (position: number) => {
        if (position === 0) max = Math.max(max, ++reading);
        if (position >= mebi) reading--;
      };
      content.add(name, { bytes: Buffer.alloc(2 * mebi), onRead });
    }
    ahead(newProcess(), "all");
    await eventually("the files to be prepared", () => isPrepared("c"), { withinMs: 20_000 });
    expect(max).toBe(1);
    ahead(newProcess(), "all");
    content.add("d", { bytes: Buffer.alloc(10) });
    content.contentVersion = "v2";
    await eventually("the new version to be prepared", () => isPrepared("d"), { withinMs: 20_000 });
    expect(content.opened.toSorted()).toEqual(["a", "a", "b", "b", "c", "c", "d"]);
  });

  test("of those that are there none with `new`, until they change", async () => {
    content.add("old", { bytes: Buffer.alloc(10) });
    ahead(newProcess(), "new");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(content.opened).toEqual([]);
    content.contentVersion = "v2";
    await eventually("the changed file to be prepared", () => isPrepared("old"));
  });

  test("and one that fails is tried again", async () => {
    content.add("a", { bytes: Buffer.alloc(10) });
    store.isDown = true;
    ahead(newProcess(), "all");
    await new Promise((resolve) => setTimeout(resolve, 60));
    store.isDown = false;
    await eventually("the file to be prepared", () => isPrepared("a"));
  });
});

describe("a file that nobody has requested", () => {
  test("waits while one is prepared that was, and no longer when it is requested itself", async () => {
    const preparations = newProcess();
    const [slow, idle] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let reads = 0;
    const background = content.add("background", {
      bytes: Buffer.alloc(4 * mebi),
      onRead: () => {
        reads++;
        return reads === 1 ? idle.promise : undefined;
      },
    });
    const requested = content.add("requested", { bytes: Buffer.alloc(2 * mebi), onRead: () => slow.promise });
    ahead(preparations, "all");
    await eventually("the background to begin", () => reads === 1);
    const running = preparations.start(requested.file, requested.itemFile, false);
    await eventually("the requested one to begin", () => content.opened.includes("requested"));
    idle.resolve();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(reads).toBe(1);
    expect((await preparations.start(background.file, background.itemFile, false)).status).toBe("PREPARED");
    expect(reads).toBe(4);
    slow.resolve();
    expect((await running).status).toBe("PREPARED");
  });
});
