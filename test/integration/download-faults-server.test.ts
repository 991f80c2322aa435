import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import {
  callSessions,
  type DownloadStage,
  downloadStage,
  largeBytes,
  loggedOutcomes,
  middle,
  onlySession,
  patiently,
  sendingService,
  sessionIds,
} from "../support/download-stage.ts";
import type { FaultyProxy } from "../support/faulty-proxy.ts";
import { expectNothingWrong, expectWhole, writeItem } from "../support/get.ts";
import { startHaproxy } from "../support/haproxy.ts";
import { startRedis } from "../support/redis-server.ts";

// What happens to servers, and to what they rest on, while `downlease get` has got to the middle of a file.

// Whole programs are started, stopped and started again.
vi.setConfig({ testTimeout: 180_000 });

let stage: DownloadStage;
beforeAll(async () => {
  stage = await downloadStage();
});
afterEach(() => stage.clear());
afterAll(() => stage[Symbol.asyncDispose]());

async function twoReplicas(args: readonly string[] = []) {
  const redis = stage.use(await startRedis());
  const flags = ["--redis-url", redis.url, ...args];
  const replicas = await Promise.all([stage.service(flags), stage.service(flags)]);
  const haproxy = stage.use(await startHaproxy(replicas.map(({ port }) => `127.0.0.1:${port}`)));
  return { replicas, haproxy };
}

/** That what was on the disk at `middle` was not fetched again. */
function expectGoneOn({ downloads }: FaultyProxy): void {
  expect(downloads.length).toBeGreaterThan(1);
  for (const { from, status } of downloads.slice(1)) {
    expect(status).toBe(206);
    expect(from).toBeGreaterThanOrEqual(middle);
  }
}

test("a replica is killed: another goes on with the same session, from where it was", async () => {
  const { replicas, haproxy } = await twoReplicas();
  const { proxy, target, hold, get } = await stage.halfway(haproxy.url, stage.large);
  const session = await onlySession(haproxy.url);

  await (await sendingService(replicas)).kill();
  await patiently("the other replica to have the session", async () => {
    return (await onlySession(haproxy.url)) === session;
  });
  hold.release();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.downloads).toMatchObject([
    { sessionId: session, from: 0 },
    { sessionId: session, status: 206 },
  ]);
  expectGoneOn(proxy);
  expect(await sessionIds(haproxy.url)).toEqual([]);
});

test("the only server is killed and started again: the download goes on with the same session", async () => {
  const database = ["--sqlite-path", join(await stage.directory(), "sessions.db")];
  const server = await stage.service(database);
  const { proxy, target, hold, get } = await stage.halfway(server.url, stage.large);
  const session = await onlySession(server.url);

  await server.kill();
  hold.release();
  await get.tells("notice", { message: "disk.img: the connection was cut; trying again" });
  const again = await stage.service([...database, "--port", String(server.port)]);
  expect(await onlySession(again.url)).toBe(session);

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expectGoneOn(proxy);
  expect(new Set(proxy.downloads.map(({ sessionId }) => sessionId))).toEqual(new Set([session]));
  expect(await sessionIds(again.url)).toEqual([]);
});

test.each([
  ["with its data", true],
  ["without its data", false],
])("Redis is restarted %s while the connection breaks: the download goes on", async (_, appendonly) => {
  const redis = stage.use(await startRedis({ appendonly }));
  const server = await stage.service(["--redis-url", redis.url]);
  const { proxy, target, hold, get } = await stage.halfway(server.url, stage.large, { breaks: true });

  await redis.kill();
  hold.release();
  await get.tells("notice");
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

test("the session is canceled at another replica: the transfer is cut, and get ends with an error", async () => {
  // So long that no heartbeat tells the client of it.
  const { replicas, haproxy } = await twoReplicas(["--lease-seconds", "3000"]);
  const { proxy, target, hold, get } = await stage.halfway(haproxy.url, stage.large);

  const sending = await sendingService(replicas);
  const other = replicas.find((replica) => replica !== sending)!;
  await callSessions(other.url, "Cancel", { downloadSessionId: await onlySession(other.url) });
  await patiently("the transfer to be cut", () => loggedOutcomes(sending).includes("session_ended"));
  hold.release();

  const end = await get.ended();
  expect(end.code).toBe(8);
  expect(end.stderr).toMatch(/cancel/i);
  expect(end.events.at(-1)).toMatchObject({ event: "error", reason: "lease_lost", exit_code: 8 });
  expect(await expectNothingWrong(target, stage.large)).toEqual([]);
  expect(proxy.downloads.length).toBe(1);

  // What there is of the file is of use to whoever decides to try again.
  expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expectGoneOn(proxy);
});

test("the server answers 503 for a while: the download waits, and goes on", async () => {
  const server = await stage.service();
  const { proxy, target, hold, get } = await stage.halfway(server.url, stage.large, { breaks: true });

  proxy.answerAllWith = 503;
  hold.release();
  await patiently("the third 503", () => proxy.refused >= 3);
  proxy.heal();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expect(proxy.bytesRelayed).toBe(largeBytes);
});

test("the file is written over in the middle: what comes is the new version, whole", async () => {
  const item = await writeItem(stage.contentRoot, "written-over", { "disk.img": largeBytes });
  const server = await stage.service();
  const { target, hold, get } = await stage.halfway(server.url, item);

  // Of the same length, so that nobody can tell by that.
  const changed = await writeItem(stage.contentRoot, item.id, { "disk.img": largeBytes }, { inPlace: true });
  hold.release();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, changed);
  expect(loggedOutcomes(server)).toContain("content_changed");
});

test("the file is replaced and the connection breaks: nothing of the old version is used for the new one", async () => {
  const item = await writeItem(stage.contentRoot, "replaced", { "disk.img": largeBytes });
  const server = await stage.service();
  const { proxy, target, hold, get } = await stage.halfway(server.url, item, { breaks: true });

  const replaced = await writeItem(stage.contentRoot, item.id, { "disk.img": largeBytes });
  hold.release();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, replaced);
  expect(proxy.downloads).toMatchObject([{ bytes: middle }, { from: 0, bytes: largeBytes }]);
});

test("the item is removed and the connection breaks: get ends with an error, and no file is in place", async () => {
  const item = await writeItem(stage.contentRoot, "removed", { "disk.img": largeBytes });
  const server = await stage.service();
  const { target, hold, get } = await stage.halfway(server.url, item, { breaks: true });

  await rm(join(stage.contentRoot, "lib", item.id), { recursive: true });
  hold.release();

  expect(await get.ended()).toMatchObject({ code: 3 });
  expect(await expectNothingWrong(target, item)).toEqual([]);
});
