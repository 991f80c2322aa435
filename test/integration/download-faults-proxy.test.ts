import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Cut, type FaultyProxy, startFaultyProxy } from "../support/faulty-proxy.ts";

// The tests of downloads rely on the proxy: it makes exactly the failures that are set.

const file = randomFillSync(Buffer.alloc(3_000_000));
const start = 1_000_000;

let server: Server;
let proxy: FaultyProxy;
beforeEach(async () => {
  server = createServer((request, response) => {
    const from = request.headers.range === undefined ? 0 : start;
    response.writeHead(from === 0 ? 200 : 206, {
      "content-length": file.length - from,
      ...(from > 0 && { "content-range": `bytes ${from}-${file.length - 1}/${file.length}` }),
    });
    if (request.url!.endsWith("/unfinished")) response.write(file.subarray(0, 2_000_000));
    else response.end(file.subarray(from));
  });
  await once(server.listen({ port: 0, host: "127.0.0.1" }), "listening");
  proxy = await startFaultyProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterEach(async () => {
  await proxy.stop();
  server.closeAllConnections();
  server.close();
});

interface Fetched {
  readonly status: number | undefined;
  readonly body: Buffer;
  readonly failure: string | undefined;
}

function fetchFile(path = "/download/session/disk%20one.img?k=1", ranged = false): Promise<Fetched> {
  return new Promise((resolve) => {
    const headers = ranged ? { range: `bytes=${start}-` } : {};
    const chunks: Buffer[] = [];
    let status: number | undefined;
    const done = (failure?: string) => resolve({ status, body: Buffer.concat(chunks), failure });
    const request = get(proxy.url + path, { headers, agent: false }, (response) => {
      status = response.statusCode;
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", (error: NodeJS.ErrnoException) => done(error.code));
      response.on("end", () => done());
    });
    request.on("error", (error: NodeJS.ErrnoException) => done(error.code));
  });
}

test("without faults everything passes through, and bytes of downloads are counted from the start of each body", async () => {
  const whole = await fetchFile();
  expect([whole.status, whole.failure, whole.body.equals(file)]).toEqual([200, undefined, true]);
  const part = await fetchFile(undefined, true);
  expect([part.status, part.failure, part.body.equals(file.subarray(start))]).toEqual([206, undefined, true]);
  expect((await fetchFile("/other")).body.equals(file)).toBe(true);
  expect(proxy.downloads).toEqual([
    { status: 200, sessionId: "session", fileName: "disk one.img", from: 0, bytes: file.length },
    { status: 206, sessionId: "session", fileName: "disk one.img", from: start, bytes: file.length - start },
  ]);
});

test.each([false, true])("one byte is flipped, as often as it is set (with a range: %s)", async (ranged) => {
  const at = 2_345_678;
  const begin = ranged ? start : 0;
  proxy.flip(at, 1);
  const { body } = await fetchFile(undefined, ranged);
  expect(body.length).toBe(file.length - begin);
  const wrong = [...body.keys()].filter((index) => body[index] !== file[begin + index]);
  expect(wrong).toEqual([at - begin]);
  expect((await fetchFile(undefined, ranged)).body.equals(file.subarray(begin))).toBe(true);
  expect(proxy.struck).toBe(1);
});

test.each<[Cut, string | undefined]>([
  ["reset", "ECONNRESET"],
  ["close", "ECONNRESET"],
  ["chunked end", undefined],
])("a body is cut at a byte by %s", async (how, failure) => {
  proxy.cut(1_234_567, how, 1);
  const cut = await fetchFile();
  expect(cut.failure).toBe(failure);
  if (how === "reset") expect(cut.body.length).toBeLessThanOrEqual(1_234_567);
  else expect(cut.body.equals(file.subarray(0, 1_234_567))).toBe(true);
  expect((await fetchFile()).body.equals(file)).toBe(true);
  expect(proxy.struck).toBe(1);
});

test("a body stalls at a byte until it is released", async () => {
  const hold = proxy.hold(1_500_000);
  const body = fetchFile();
  await eventually("the body to stall", () => hold.waiting === 1);
  expect(proxy.downloads).toMatchObject([{ bytes: 1_500_000 }]);
  hold.release();
  expect((await body).body.equals(file)).toBe(true);
  expect(hold.waiting).toBe(0);
});

test("all calls are answered with a status instead of being passed on, until it is healed", async () => {
  proxy.answerAllWith = 503;
  expect(await fetchFile()).toMatchObject({ status: 503 });
  expect(await fetchFile("/other")).toMatchObject({ status: 503 });
  expect(proxy.refused).toBe(2);
  proxy.heal();
  expect(await fetchFile()).toMatchObject({ status: 200 });
});

test("a failure behind the proxy is passed on to the client", async () => {
  const hold = proxy.hold(1_500_000);
  const body = fetchFile("/download/session/unfinished");
  await eventually("the body to stall", () => hold.waiting === 1);
  server.closeAllConnections();
  hold.release();
  expect(await body).toMatchObject({ failure: "ECONNRESET" });
});
