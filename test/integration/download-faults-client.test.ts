import { randomInt } from "node:crypto";
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import {
  callSessions,
  type DownloadStage,
  downloadStage,
  largeBytes,
  loggedOutcomes,
  mebibyte,
  middle,
  onDisk,
  onlySession,
  patiently,
  sessionIds,
} from "../support/download-stage.ts";
import type { FaultyProxy, Relayed } from "../support/faulty-proxy.ts";
import { expectNothingWrong, expectWhole, type TestItem, writeItem } from "../support/get.ts";
import { limitedDisk, smallDisk } from "../support/small-disk.ts";

// What happens to `downlease get` itself, and to the disk that it writes to.

// Whole programs are started, stopped and started again.
vi.setConfig({ testTimeout: 180_000 });

let stage: DownloadStage;
let many: TestItem;
beforeAll(async () => {
  stage = await downloadStage();
  const small = Array.from({ length: 12 }, (_, index) => [`part-${index}.bin`, 64 * 1024] as const);
  many = await writeItem(stage.contentRoot, "many", {
    ...Object.fromEntries(small),
    "large.bin": 8 * mebibyte,
  });
});
afterEach(() => stage.clear());
afterAll(() => stage[Symbol.asyncDispose]());

test("get is killed and started again: it fetches what is missing, and no more", async () => {
  const server = await stage.service();
  const { proxy, target, hold, get: first } = await stage.halfway(server.url, stage.large);
  await first.kill();
  hold.release();

  expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.downloads).toMatchObject([
    { from: 0 },
    { from: middle, bytes: largeBytes - middle, status: 206 },
  ]);
  expect(await sessionIds(server.url)).toEqual([]);
});

test("get is killed at eight random moments: no file is ever wrong, and the ninth run finishes", async () => {
  const server = await stage.service();
  const proxy = await stage.proxy(server.url);
  const target = await stage.directory();
  let runMs = 600;
  for (let kills = 0; kills < 8; kills++) {
    const get = await stage.get(proxy.url, many, target, { args: ["--parallel", "2"] });
    await get.tells("item");
    // Where it is then is what chance is for: between any two of the steps, the last ones included.
    await delay(randomInt(runMs));
    if (get.exit !== undefined) {
      // Everything was done before: it is to be killed earlier.
      expect(get.exit).toEqual({ code: 0, signal: null });
      await expectWhole(target, many);
      runMs = Math.max(50, runMs / 2);
      await rm(target, { recursive: true });
    }
    await get.kill();
    await expectNothingWrong(target, many);
  }
  expect(await (await stage.get(proxy.url, many, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, many);
});

test("the lease ends while get is stopped, and it goes on when it is continued", async () => {
  const server = await stage.service(["--lease-seconds", "1", "--transfer-stall-seconds", "0.5"]);
  const { proxy, target, hold, get } = await stage.halfway(server.url, stage.large);
  const session = await onlySession(server.url);
  get.signal("SIGSTOP");
  hold.release();
  await patiently("the lease to end", async () => !(await sessionIds(server.url)).includes(session));
  get.signal("SIGCONT");

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.downloads.at(-1)).toMatchObject({ status: 206 });
  expect(loggedOutcomes(server)[0]).toBe("stalled");
});

test.each([
  ["the disk is full", smallDisk],
  ["the file may not grow", limitedDisk],
])("%s: get says so and keeps what it has, and goes on when there is room", async (_, make) => {
  const disk = stage.use(await make(8 * mebibyte));
  const server = await stage.service();
  const proxy = await stage.proxy(server.url);
  const { prefix } = disk;
  const end = await (await stage.get(proxy.url, stage.large, disk.path, { prefix })).ended();
  expect(end).toMatchObject({ code: 7, stderr: expect.stringMatching(/disk\.img.*(full|as large)/i) });
  expect(end.events.at(-1)).toMatchObject({ event: "error", reason: "disk", exit_code: 7 });
  expect(await expectNothingWrong(disk.path, stage.large)).toEqual([]);

  disk.enlarge(2 * largeBytes);
  const again = await stage.get(proxy.url, stage.large, disk.path, { prefix: disk.prefix });
  expect(await again.ended()).toMatchObject({ code: 0 });
  await expectWhole(disk.path, stage.large);
  expect(proxy.downloads.at(-1)).toMatchObject({ status: 206 });
  expect(proxy.downloads.at(-1)!.from).toBeGreaterThan(6 * mebibyte);
});

test("two gets of an item into one directory: one says that the other is at work", async () => {
  const server = await stage.service();
  const { proxy, target, hold, get: first } = await stage.halfway(server.url, stage.large);
  const second = await (await stage.get(proxy.url, stage.large, target)).ended();
  expect(second).toMatchObject({ code: 9, stderr: expect.stringMatching(/another process/) });
  hold.release();
  expect(await first.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.bytesRelayed).toBe(largeBytes);
  expect(await sessionIds(server.url)).toEqual([]);
});

test("Ctrl-C ends get at once and its session with it, and the next run goes on", async () => {
  const server = await stage.service();
  const { proxy, target, hold, get } = await stage.halfway(server.url, stage.large);
  const session = await onlySession(server.url);
  get.signal("SIGINT");
  expect(await get.ended()).toMatchObject({ code: 130 });
  const { downloadSession } = await callSessions(server.url, "Get", { downloadSessionId: session });
  expect(downloadSession?.state).toBe("STATE_CANCELED");
  expect(await expectNothingWrong(target, stage.large)).toEqual([]);
  hold.release();

  expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.downloads.at(-1)).toMatchObject({ from: middle, bytes: largeBytes - middle });
});

describe("what is left of a download is damaged before the next run", () => {
  const size = 8 * mebibyte;
  let damaged: DownloadStage;
  let proxy: FaultyProxy;
  let item: TestItem;
  /** As a killed run has left it. */
  let left: string;
  beforeAll(async () => {
    damaged = await downloadStage();
    item = await writeItem(damaged.contentRoot, "small", { "disk.img": size });
    proxy = await damaged.proxy((await damaged.service()).url);
    left = await damaged.directory();
    const hold = proxy.hold(size / 2);
    const get = await damaged.get(proxy.url, item, left);
    await onDisk(left, size / 2);
    await get.kill();
    hold.release();
  });
  afterAll(() => damaged[Symbol.asyncDispose]());

  async function fetchedAfter(suffix: string, damage: (bytes: Buffer) => Buffer): Promise<Relayed[]> {
    const target = await damaged.directory();
    await cp(left, target, { recursive: true });
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

  test("a byte of the partial file is another one: it is noticed in the end, and all is fetched again", async () => {
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
  ])("the state file is %s: nothing is known of the partial file, and all is fetched", async (_, damage) => {
    expect(await fetchedAfter(".json", damage)).toMatchObject([whole]);
  });
});
