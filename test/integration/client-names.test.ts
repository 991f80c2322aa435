import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, type Downlease, downloadItem, downloadToStream, findItem } from "../../src/client/index.ts";
import { freePort } from "../support/ports.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let scratch: TempDir;
let service: Service;
let server: Downlease;
beforeAll(async () => {
  scratch = await tempDir();
  for (const [library, item] of [
    ["east", "disk"],
    ["west", "disk"],
    ["west", "Tools"],
    ["west", "tools"],
  ] as const) {
    const directory = join(scratch.path, "content", library, item);
    await mkdir(directory, { recursive: true });
    const id = `${library}-${item}`;
    await writeFile(join(directory, ".item.json"), JSON.stringify({ id }));
    await writeFile(join(directory, "file.txt"), id);
  }
  service = await startService(["--content-root", join(scratch.path, "content")]);
  server = connect({ url: service.url });
});
afterAll(async () => {
  await server?.close();
  await service?.stop();
  await scratch.remove();
});

describe("findItem", () => {
  test.each([
    [{ item: "east-disk" }, "east-disk"],
    [{ item: "west/disk" }, "west-disk"],
    [{ library: "west", item: "disk" }, "west-disk"],
    [{ library: "WEST", item: "DISK" }, "west-disk"],
    [{ library: "west", item: "west-disk" }, "west-disk"],
    [{ item: "Tools" }, "west-Tools"],
    [{ library: "west", item: "tools" }, "west-tools"],
  ])("%o is an item", async (name, id) => {
    const found = await findItem(server, name);
    expect([found.id, found.item.id]).toEqual([id, id]);
  });

  test.each([
    [{ item: "disk" }, "ambiguous", "'disk' is the name of 2 items. Use an id: east-disk, west-disk"],
    [{ library: "west", item: "TOOLS" }, "ambiguous", "'west/TOOLS' is the name of 2 items"],
    [{ item: "nothing" }, "not_found", "There is no item 'nothing'"],
    [{ library: "east", item: "tools" }, "not_found", "There is no item 'east/tools'"],
    [{ library: "east", item: "west-disk" }, "not_found", "There is no item 'east/west-disk'"],
    [{ library: "north", item: "disk" }, "not_found", "There is no item 'north/disk'"],
  ])("%o is refused", async (name, reason, message) => {
    const outcome = findItem(server, name);
    await expect(outcome).rejects.toMatchObject({ name: "DownloadError", reason });
    await expect(outcome).rejects.toThrow(message);
  });
});

describe("a download by name", () => {
  test("is one of the item", async () => {
    const directory = join(scratch.path, "found");
    const { itemId } = await downloadItem(server, { library: "west", item: "disk", directory });
    expect([itemId, await readdir(directory)]).toEqual(["west-disk", ["file.txt"]]);
    const chunks: string[] = [];
    const { Writable } = await import("node:stream");
    const output = new Writable({
      write: (chunk, _, done) => void done(void chunks.push(String(chunk)) as never),
    });
    await downloadToStream(server, { item: "east/disk", file: "file.txt", output });
    expect(chunks.join("")).toBe("east-disk");
  });

  test("makes no directory for a name that is none", async () => {
    const directory = join(scratch.path, "none");
    await expect(downloadItem(server, { item: "nothing", directory })).rejects.toMatchObject({
      reason: "not_found",
    });
    await expect(readdir(directory)).rejects.toThrow("ENOENT");
  });

  test("repeats the look-up for as long as its patience, and says so", async () => {
    await using nobody = connect({ url: `http://127.0.0.1:${await freePort()}` });
    const notices: unknown[] = [];
    const options = { item: "disk", directory: join(scratch.path, "never"), patienceMs: 1 };
    const outcome = downloadItem(nobody, { ...options, onProgress: ({ notice }) => notices.push(notice) });
    await expect(outcome).rejects.toMatchObject({ reason: "unreachable" });
    expect(notices).toContainEqual(expect.stringContaining("trying again"));
    const signal = AbortSignal.timeout(50);
    await expect(downloadItem(nobody, { ...options, patienceMs: 60_000, signal })).rejects.toMatchObject({
      reason: "aborted",
    });
  });

  test.each([
    [{}, "set itemId or item"],
    [{ item: "" }, "item is empty"],
    [{ itemId: "" }, "itemId is empty"],
    [{ item: "disk", library: "" }, "library is empty"],
    [{ item: "disk", itemId: "disk" }, "set either itemId, or item and library"],
  ])("%o is a mistake", async (choice, message) => {
    const options = { ...choice, directory: scratch.path } as unknown as Parameters<typeof downloadItem>[1];
    await expect(downloadItem(server, options)).rejects.toThrow(new TypeError(message));
  });
});
