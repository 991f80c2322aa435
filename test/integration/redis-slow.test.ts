import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** What a slow machine may add to the second that callers are promised. */
const boundMs = 2_000;
const roundTripMs = 600;

let redis: RedisServer;
let proxy: TcpProxy;
let app: TestApp;
let item: string;
let session: string;

beforeAll(async () => {
  redis = await startRedis();
  proxy = await startTcpProxy(redis.port);
  app = await startTestApp({ redisUrl: `redis://127.0.0.1:${proxy.port}` });
  item = await app.addItem();
  const created = await call("POST", "", { library_item_id: item });
  session = (await created.json()) as string;
  await call("POST", `/${session}/file?action=prepare`, { file_name: "disk.bin" });
  // Redis has the scripts then.
  await call("GET", `/${session}`);
  await call("POST", `/${session}?action=keep-alive`, {});
  proxy.delayMs = roundTripMs / 2;
});
afterAll(async () => {
  await app.stop();
  await proxy[Symbol.asyncDispose]();
  await redis.stop();
});

function call(method: string, path: string, body?: object): Promise<Response> {
  return fetch(`${app.url}/api/content/library/item/download-session${path}`, {
    method,
    headers: { "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

test.each([
  ["get", 200, () => call("GET", `/${session}`)],
  ["keep-alive", 204, () => call("POST", `/${session}?action=keep-alive`, { progress: 1 })],
  ["create", 503, () => call("POST", "", { library_item_id: item })],
  ["list", 503, () => call("GET", "")],
  ["prepare", 503, () => call("POST", `/${session}/file?action=prepare`, { file_name: "disk.bin" })],
  ["get of a file", 503, () => call("GET", `/${session}/file?file_name=disk.bin`)],
] as const)("at 600 ms a round trip %s is answered with %i within a second", async (_name, status, run) => {
  const startedAt = performance.now();
  const response = await run();
  expect(response.status).toBe(status);
  expect(performance.now() - startedAt).toBeLessThan(boundMs);
});

test("at 600 ms a round trip the service is not ready, because no session can be created", async () => {
  await eventually("readiness to be false", async () => (await fetch(`${app.url}/readyz`)).status === 503);
});
