import { createHook, executionAsyncId } from "node:async_hooks";
import { renameSync, rmSync, symlinkSync } from "node:fs";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DirectoryContentSource } from "../../src/content/directory/directory-content-source.ts";
import { tempDir } from "../support/temp-dir.ts";

let root: string;
let outside: string;
let remove: () => Promise<void>;

/** Of the same names, sizes and times inside and outside, so that no comparison of versions helps. */
async function putLibrary(base: string, text: string): Promise<void> {
  const item = join(base, "lib", "item");
  await mkdir(item, { recursive: true });
  const files = [join(item, "data"), join(item, ".item.json"), join(base, "lib", ".library.json")];
  await writeFile(files[0]!, `data ${text}`);
  await writeFile(files[1]!, JSON.stringify({ id: "i", description: text }));
  await writeFile(files[2]!, JSON.stringify({ id: "l", description: text }));
  for (const path of [...files, item, join(base, "lib")]) await utimes(path, 1e9, 1e9);
}

beforeEach(async () => {
  const directory = await tempDir();
  remove = directory.remove;
  [root, outside] = [join(directory.path, "root"), join(directory.path, "outside")];
  await putLibrary(root, "public");
  await putLibrary(outside, "SECRET");
  const listed = join(outside, "listed", "item");
  await mkdir(listed, { recursive: true });
  await writeFile(join(listed, "SECRET.iso"), "");
});
afterEach(() => remove());

/** Puts a link that leads out of the root in the place of something below it, and takes it away again. */
class Swap {
  readonly #place: string;
  readonly #kept = join(root, ".kept");
  readonly #link = join(root, ".link");
  #isDone = false;

  constructor(place: string, target: string) {
    this.#place = join(root, place);
    symlinkSync(join(outside, target), this.#link);
  }

  do(): void {
    renameSync(this.#place, this.#kept);
    renameSync(this.#link, this.#place);
    this.#isDone = true;
  }

  undo(): void {
    if (!this.#isDone) return;
    renameSync(this.#place, this.#link);
    renameSync(this.#kept, this.#place);
    this.#isDone = false;
  }
}

/** Calls `before` with the number of each asynchronous request of the file system. Returns how many there were. */
async function beforeEachRequest(before: (n: number) => void, work: () => Promise<void>): Promise<number> {
  let requests = 0;
  const hook = createHook({
    init(_id, type) {
      if (type.startsWith("FSREQ") && executionAsyncId() !== 0) before(++requests);
    },
  }).enable();
  try {
    await work();
  } finally {
    hook.disable();
  }
  return requests;
}

const open = () => DirectoryContentSource.open({ root });

/** What each reads is compared with what is outside. */
const works: Record<string, (source: DirectoryContentSource, version: string) => Promise<unknown>> = {
  libraries: (source) => source.libraries(),
  item: (source) => source.item("i"),
  contents: (source) => source.contents("i"),
  "a scan": async () => (await open()).items(),
  async openFile(source, version) {
    await using file = await source.openFile("i", "data", version);
    if (file === undefined) return undefined;
    const into = Buffer.alloc(64);
    const length = await file
      .reader()
      .read(into)
      .catch(() => 0);
    return [file.path, into.toString("utf8", 0, length)];
  },
};

const swaps = [
  { place: "lib", target: "lib" },
  { place: "lib", target: "listed" },
  { place: "lib/item", target: "lib/item" },
  { place: "lib/item", target: "listed/item" },
  { place: "lib/item/data", target: "lib/item/data" },
  { place: "lib/item/.item.json", target: "lib/item/.item.json" },
];

test.each(Object.keys(works))(
  "%s never sees what is outside, whenever a link comes and goes",
  async (name) => {
    const source = await open();
    const { contentVersion } = (await source.item("i"))!;
    const work = () => works[name]!(source, contentVersion);
    expect(JSON.stringify(await work())).toMatch(/public|contentVersion|lib/);
    for (const { place, target } of swaps) {
      const swap = new Swap(place, target);
      let requests = 1;
      for (let first = 1; first <= requests; first++) {
        for (const last of [first + 1, first + 4]) {
          let seen: unknown;
          const at = (n: number) => (n === first ? swap.do() : n === last && swap.undo());
          const count = await beforeEachRequest(at, async () => {
            seen = await work().catch((reason) => reason.messageId);
          });
          swap.undo();
          requests = Math.max(requests, count);
          expect(JSON.stringify(seen) ?? "", `${place} from request ${first} to ${last}`).not.toMatch(
            /SECRET|"iso"/,
          );
        }
      }
      rmSync(join(root, ".link"));
    }
  },
);
