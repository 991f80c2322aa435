import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import {
  type DownloadStage,
  downloadStage,
  largeBytes,
  middle,
  patiently,
} from "../support/download-stage.ts";
import type { Cut, FaultyProxy } from "../support/faulty-proxy.ts";
import { expectNothingWrong, expectWhole } from "../support/get.ts";
import { type Service, startService } from "../support/service.ts";

// Failures of the network between a server and `downlease get`.

// Whole programs are started, stopped and restarted.
vi.setConfig({ testTimeout: 180_000 });

let stage: DownloadStage;
let server: Service;
let proxy: FaultyProxy;
let target: string;
beforeAll(async () => {
  stage = await downloadStage();
  server = await startService(["--content-root", stage.contentRoot]);
});
beforeEach(async () => {
  proxy = await stage.proxy(server.url);
  target = await stage.directory();
});
afterEach(() => stage.clear());
afterAll(async () => {
  await server?.kill();
  await stage[Symbol.asyncDispose]();
});

test("a byte is changed on the way: the checksum shows it, and the file is fetched again", async () => {
  proxy.flip(middle, 1);
  const get = await stage.get(proxy.url, stage.large, target);
  const end = await get.ended();
  expect(end.code).toBe(0);
  expect(end.events).toContainEqual(
    expect.objectContaining({ event: "notice", message: expect.stringMatching(/the sha256 differs/) }),
  );
  await expectWhole(target, stage.large);
  expect(proxy.struck).toBe(1);
  expect(proxy.downloads).toMatchObject([
    { from: 0, bytes: largeBytes },
    { from: 0, bytes: largeBytes },
  ]);
});

test("a byte is changed each time: get ends with an error, and no file is in place", async () => {
  proxy.flip(middle);
  const end = await (await stage.get(proxy.url, stage.large, target)).ended();
  expect(end).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/disk\.img: the sha256 differs.*twice/),
  });
  expect(end.events.at(-1)).toMatchObject({ event: "error", file: "disk.img", exit_code: 6 });
  expect(await expectNothingWrong(target, stage.large)).toEqual([]);
  expect(proxy.struck).toBe(2);

  proxy.heal();
  expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
});

test.each<Cut>(["reset", "close", "chunked end"])(
  "the body ends early by %s: the missing bytes are fetched",
  async (how) => {
    proxy.cut(middle, how, 1);
    proxy.cut(2 * middle, how, 1);
    expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
    await expectWhole(target, stage.large);
    expect(proxy.struck).toBe(2);
    expect(proxy.downloads.length).toBe(3);
    // The other two ways lose bytes that were still in flight.
    if (how === "chunked end") expect(proxy.bytesRelayed).toBe(largeBytes);
  },
);

test("each answer ends cleanly at the same byte: get gives up with an error, and no file is in place", async () => {
  proxy.cut(middle, "chunked end");
  const get = await stage.get(proxy.url, stage.large, target, { args: ["--patience", "2"] });
  const end = await get.ended();
  expect(end).toMatchObject({ code: 5, stderr: expect.stringMatching(/disk\.img/) });
  expect(await expectNothingWrong(target, stage.large)).toEqual([]);
  expect(proxy.struck).toBeGreaterThan(1);

  proxy.heal();
  expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.bytesRelayed).toBe(largeBytes);
});

test("the network stalls: the connection is replaced, and the download resumes", async () => {
  const hold = proxy.hold(middle);
  const get = await stage.get(proxy.url, stage.large, target, { args: ["--idle", "1"] });
  await patiently("the body to stall", () => hold.waiting === 1);
  await patiently("the client to leave", () => hold.waiting === 0);
  hold.release();
  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.bytesRelayed).toBe(largeBytes);
});

test("the network stalls for good: get gives up with an error, and no file is in place", async () => {
  proxy.hold(middle);
  const args = ["--idle", "0.5", "--patience", "2"];
  const end = await (await stage.get(proxy.url, stage.large, target, { args })).ended();
  expect(end).toMatchObject({ code: 5, stderr: expect.stringMatching(/disk\.img/) });
  expect(await expectNothingWrong(target, stage.large)).toEqual([]);
});

test("a download that takes several leases keeps its session", async () => {
  const short = await stage.service(["--lease-seconds", "0.5"]);
  proxy.upstream = short.url;
  proxy.bytesPerSecond = largeBytes / 2;
  expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.downloads).toMatchObject([{ from: 0, bytes: largeBytes }]);
});
