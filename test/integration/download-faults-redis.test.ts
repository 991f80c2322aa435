import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import {
  type DownloadStage,
  downloadStage,
  largeBytes,
  middle,
  patiently,
  sessionIds,
} from "../support/download-stage.ts";
import { expectWhole } from "../support/get.ts";
import { startRedis } from "../support/redis-server.ts";

// Failures of Redis while `downlease get` is in the middle of a file.

// Whole programs are started, stopped and restarted.
vi.setConfig({ testTimeout: 180_000 });

let stage: DownloadStage;
beforeAll(async () => {
  stage = await downloadStage();
});
afterEach(() => stage.clear());
afterAll(() => stage[Symbol.asyncDispose]());

test.each([
  ["with its data", true],
  ["without its data", false],
])("Redis is restarted %s while the connection breaks: the download goes on", async (_, appendonly) => {
  const redis = stage.use(await startRedis({ appendonly }));
  const server = await stage.service(["--redis-url", redis.url]);
  const { proxy, target, hold, get } = await stage.halfway(server.url, stage.large, { breaks: true });

  await redis.kill();
  hold.release();
  await get.reports("notice");
  await redis.restart();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.bytesRelayed).toBe(largeBytes);
  expect(await sessionIds(server.url)).toEqual([]);
});

test("Redis is restarted with its data while bytes flow: nothing breaks", async () => {
  const redis = stage.use(await startRedis({ appendonly: true }));
  const server = await stage.service(["--redis-url", redis.url]);
  const proxy = await stage.proxy(server.url);
  const target = await stage.directory();
  const [down, up] = [proxy.hold(middle), proxy.hold(2 * middle)];
  const get = await stage.get(proxy.url, stage.large, target);
  await patiently("the middle", () => down.waiting === 1);

  await redis.kill();
  await patiently("the service to notice", async () => !(await fetch(`${server.url}/readyz`)).ok);
  down.release();
  await patiently("more of the file", () => up.waiting === 1);
  await redis.restart();
  await patiently("the service to be ready", async () => (await fetch(`${server.url}/readyz`)).ok);
  up.release();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.downloads).toMatchObject([{ from: 0, bytes: largeBytes }]);
});
