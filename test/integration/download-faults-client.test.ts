import { randomInt } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import {
  callSessions,
  type DownloadStage,
  downloadStage,
  largeBytes,
  loggedOutcomes,
  mebibyte,
  middle,
  onlySession,
  patiently,
  sessionIds,
} from "../support/download-stage.ts";
import { expectNothingWrong, expectWhole, type TestItem, writeItem } from "../support/get.ts";
import { limitedDisk, smallDisk } from "../support/small-disk.ts";

// Failures of `downlease get` itself and of its disk.

// Whole programs are started, stopped and restarted.
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

test("get is killed and started again: it fetches only the missing bytes", async () => {
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
    await get.reports("item");
    // The moment is random: between any two steps, including the last ones.
    await delay(randomInt(runMs));
    if (get.exit !== undefined) {
      // It had finished already: kill it earlier the next time.
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

test("get is killed while it fetches over several connections: each run fetches less, and none a wrong file", async () => {
  const server = await stage.service();
  const proxy = await stage.proxy(server.url);
  // The first range takes four seconds, so that there is a gap whenever it is killed.
  proxy.bytesPerSecond = 4 * mebibyte;
  const target = await stage.directory();
  const options = { args: ["--connections", "3"] };
  let before = 0;
  for (let kills = 0; kills < 2; kills++) {
    const get = await stage.get(proxy.url, stage.large, target, options);
    await patiently("bytes of this run in the state", async () => (await savedBytes(target)) > before);
    await delay(randomInt(300));
    await get.kill();
    before = await savedBytes(target);
    expect(await expectNothingWrong(target, stage.large)).toEqual([]);
  }
  proxy.heal();
  const last = await (await stage.get(proxy.url, stage.large, target, options)).ended();
  expect(last).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  const { bytes_fetched: fetched } = last.events.find(({ event }) => event === "result")!;
  expect(fetched).toBe(largeBytes - before);
});

/** Bytes that the state in a directory lists as ranges. */
async function savedBytes(directory: string): Promise<number> {
  const name = (await readdir(directory)).find((each) => each.endsWith(".json"));
  if (name === undefined) return 0;
  const [part] = JSON.parse(await readFile(join(directory, name), "utf8")).parts;
  const ranges: [number, number][] = part?.ranges ?? [];
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0);
}

test("the lease ends while get is suspended: it resumes when it is continued", async () => {
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
])("%s: get says so, keeps the partial file, and resumes when there is room", async (_, make) => {
  const disk = stage.use(await make(8 * mebibyte));
  const server = await stage.service();
  const proxy = await stage.proxy(server.url);
  const { prefix } = disk;
  const end = await (await stage.get(proxy.url, stage.large, disk.path, { prefix })).ended();
  expect(end).toMatchObject({ code: 7, stderr: expect.stringMatching(/disk\.img.*(full|too large)/i) });
  expect(end.events.at(-1)).toMatchObject({ event: "error", reason: "disk", exit_code: 7 });
  expect(await expectNothingWrong(disk.path, stage.large)).toEqual([]);

  disk.enlarge(2 * largeBytes);
  const again = await stage.get(proxy.url, stage.large, disk.path, { prefix: disk.prefix });
  expect(await again.ended()).toMatchObject({ code: 0 });
  await expectWhole(disk.path, stage.large);
  expect(proxy.downloads.at(-1)).toMatchObject({ status: 206 });
  expect(proxy.downloads.at(-1)!.from).toBeGreaterThan(6 * mebibyte);
});

test("two gets of an item into one directory: one says that the other is running", async () => {
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

test("Ctrl-C ends get immediately and cancels its session, and the next run resumes", async () => {
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
