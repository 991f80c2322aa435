import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type DownloadStage, downloadStage, mebibyte, onDisk } from "../support/download-stage.ts";
import type { FaultyProxy, Relayed } from "../support/faulty-proxy.ts";
import { expectWhole, type TestItem, writeItem } from "../support/get.ts";

// `downlease get` with damaged files of an earlier run.

// Whole programs are started, stopped and restarted.
vi.setConfig({ testTimeout: 180_000 });

describe("files of an earlier run are damaged before the next one", () => {
  const size = 8 * mebibyte;
  let damaged: DownloadStage;
  let proxy: FaultyProxy;
  let item: TestItem;
  /** Directory of a killed run. */
  let interrupted: string;
  beforeAll(async () => {
    damaged = await downloadStage();
    item = await writeItem(damaged.contentRoot, "small", { "disk.img": size });
    proxy = await damaged.proxy((await damaged.service()).url);
    interrupted = await damaged.directory();
    const hold = proxy.hold(size / 2);
    const get = await damaged.get(proxy.url, item, interrupted);
    await onDisk(interrupted, size / 2);
    await get.kill();
    hold.release();
  });
  afterAll(() => damaged[Symbol.asyncDispose]());

  async function fetchedAfter(suffix: string, damage: (bytes: Buffer) => Buffer): Promise<Relayed[]> {
    const target = await damaged.directory();
    await cp(interrupted, target, { recursive: true });
    const [name] = (await readdir(target)).filter((each) => each.endsWith(suffix));
    const path = join(target, name!);
    await writeFile(path, damage(await readFile(path)));
    const before = proxy.downloads.length;
    await using get = await damaged.get(proxy.url, item, target);
    expect(await get.ended()).toMatchObject({ code: 0 });
    await expectWhole(target, item);
    return proxy.downloads.slice(before);
  }

  const whole = { from: 0, bytes: size };
  const rest = { from: size / 2, bytes: size / 2 };

  test("nothing is damaged: the rest is fetched", async () => {
    expect(await fetchedAfter(".part", (bytes) => bytes)).toMatchObject([rest]);
  });

  test("a byte of the partial file differs: verification fails, and everything is fetched again", async () => {
    const damage = (bytes: Buffer) => bytes.fill(bytes[1000]! ^ 1, 1000, 1001);
    expect(await fetchedAfter(".part", damage)).toMatchObject([rest, whole]);
  });

  test("the partial file is shorter: more is fetched", async () => {
    const damage = (bytes: Buffer) => bytes.subarray(0, 1000);
    expect(await fetchedAfter(".part", damage)).toMatchObject([{ from: 1000, bytes: size - 1000 }]);
  });

  test("the partial file is longer than the file", async () => {
    const fetched = await fetchedAfter(".part", (bytes) => Buffer.concat([bytes, Buffer.alloc(size)]));
    expect(fetched.at(-1)).toMatchObject(whole);
  });

  test.each([
    ["empty", () => Buffer.alloc(0)],
    ["cut", (text: Buffer) => text.subarray(0, text.length / 2)],
    ["of another shape", () => Buffer.from('{"version":1,"parts":{"__proto__":[]}}')],
    ["no text", () => Buffer.from([0xff, 0xfe, 0x00, 0x7b])],
  ])("the state file is %s: the partial file is not used, and everything is fetched", async (_, damage) => {
    expect(await fetchedAfter(".json", damage)).toMatchObject([whole]);
  });
});
