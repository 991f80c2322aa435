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
import { expectNothingWrong, expectWhole } from "../support/get.ts";
import { startHaproxy } from "../support/haproxy.ts";
import { startRedis } from "../support/redis-server.ts";

// Failures of servers while `downlease get` is in the middle of a file.

// Whole programs are started, stopped and restarted.
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

/** Expects that the bytes before `middle` were not fetched again. */
function expectResumed({ downloads }: FaultyProxy): void {
  expect(downloads.length).toBeGreaterThan(1);
  for (const { from, status } of downloads.slice(1)) {
    expect(status).toBe(206);
    expect(from).toBeGreaterThanOrEqual(middle);
  }
}

test("a replica is killed: the download resumes at another one, with the same session", async () => {
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
  expectResumed(proxy);
  expect(await sessionIds(haproxy.url)).toEqual([]);
});

test("the only server is killed and restarted: the download resumes with the same session", async () => {
  const database = ["--sqlite-path", join(await stage.directory(), "sessions.db")];
  const server = await stage.service(database);
  const { proxy, target, hold, get } = await stage.halfway(server.url, stage.large);
  const session = await onlySession(server.url);

  await server.kill();
  hold.release();
  await get.reports("notice", { message: "disk.img: the connection was cut; trying again" });
  const again = await stage.service([...database, "--port", String(server.port)]);
  expect(await onlySession(again.url)).toBe(session);

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expectResumed(proxy);
  expect(new Set(proxy.downloads.map(({ sessionId }) => sessionId))).toEqual(new Set([session]));
  expect(await sessionIds(again.url)).toEqual([]);
});

test("the session is canceled at another replica: the download is cut, and get ends with an error", async () => {
  // The lease is so long that no heartbeat can report the cancellation.
  const { replicas, haproxy } = await twoReplicas(["--lease-seconds", "3000"]);
  const { proxy, target, hold, get } = await stage.halfway(haproxy.url, stage.large);

  const sending = await sendingService(replicas);
  const other = replicas.find((replica) => replica !== sending)!;
  await callSessions(other.url, "Cancel", { downloadSessionId: await onlySession(other.url) });
  await patiently("the download to be cut", () => loggedOutcomes(sending).includes("session_ended"));
  hold.release();

  const end = await get.ended();
  expect(end.code).toBe(8);
  expect(end.stderr).toMatch(/cancel/i);
  expect(end.events.at(-1)).toMatchObject({ event: "error", reason: "lease_lost", exit_code: 8 });
  expect(await expectNothingWrong(target, stage.large)).toEqual([]);
  expect(proxy.downloads.length).toBe(1);

  // The partial file is kept for another attempt.
  expect(await (await stage.get(proxy.url, stage.large, target)).ended()).toMatchObject({ code: 0 });
  await expectWhole(target, stage.large);
  expectResumed(proxy);
});

test("the server answers 503 for a while: the download waits and resumes", async () => {
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
