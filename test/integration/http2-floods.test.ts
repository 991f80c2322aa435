import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HttpHandler } from "../../src/calls/http.ts";
import { Server } from "../../src/server/server.ts";
import { eventually } from "../support/eventually.ts";
import {
  frame,
  frameType,
  frameTypes,
  headerBlock,
  hpackText,
  http2Data,
  http2Get,
  http2Headers,
  http2Hello,
  http2HelloWith,
  type RawConnection,
  type RawHeader,
  rawConnection,
} from "../support/raw-connection.ts";

let requests: number;
let server: Server;
let port: number;

const large = "x".repeat(100_000);

/** Answers to `/large` are larger than a window that is never opened. */
const handler: HttpHandler = async (request, response) => {
  requests++;
  try {
    for await (const _ of request);
  } catch {
    return;
  }
  response.writeHead(200);
  response.end(request.url === "/large" ? large : "answer");
};

beforeEach(async () => {
  requests = 0;
  server = new Server({
    handler,
    host: "127.0.0.1",
    port: 0,
    limits: { headersMs: 200, requestMs: 200, takeMs: 200, lingerMs: 100 },
  });
  port = (await server.listen()).port;
});

afterEach(async () => {
  const response = await fetch(`http://127.0.0.1:${port}/`);
  expect(await response.text(), "others are still served").toBe("answer");
  await server.close(AbortSignal.abort());
});

const get: RawHeader[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a"],
];
const to = (path: string) => get.map(([name, value]): RawHeader => [name, name === ":path" ? path : value]);
/** The id of the nth stream that a client opens. */
const nth = (index: number) => 2 * index + 1;
const reset = (stream: number) => frame(frameType.resetStream, 0, stream, "\0\0\0\x08");

function* repeated(times: number, make: (index: number) => string): Generator<string> {
  const group = 100;
  for (let index = 0; index < times; index += group)
    yield Array.from({ length: group }, (_, offset) => make(index + offset)).join("");
}

/** Writes for as long as the other side reads. */
async function writeAll({ socket, closed }: RawConnection, parts: Iterable<string>): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return;
    const isTaken = new Promise((resolve) => socket.write(part, "latin1", resolve));
    await Promise.race([isTaken, closed]);
  }
}

describe("a client that floods is cut off", () => {
  test.each<[string, () => Iterable<string>]>([
    [
      "requests that are reset at once",
      () => repeated(50_000, (index) => http2Get(nth(index)) + reset(nth(index))),
    ],
    [
      "half requests that are reset at once",
      () => repeated(50_000, (index) => http2Get(nth(index), { end: false }) + reset(nth(index))),
    ],
    [
      "requests that the server has to reset",
      () =>
        repeated(50_000, (index) => {
          const stream = nth(index);
          return http2Headers(stream, [...get, ["content-length", "1"]]) + http2Data(stream, "two");
        }),
    ],
    [
      "windows that are not opened, which the server has to refuse",
      () =>
        repeated(50_000, (index) => {
          const stream = nth(index);
          return http2Get(stream, { end: false }) + frame(frameType.windowUpdate, 0, stream, "\0\0\0\0");
        }),
    ],
    [
      "headers without end",
      function* () {
        yield frame(frameType.headers, 1, 1, headerBlock(get));
        yield* repeated(100_000, () =>
          frame(frameType.continuation, 0, 1, headerBlock([["a", "b".repeat(100)]])),
        );
      },
    ],
    [
      "continuations of nothing",
      function* () {
        yield frame(frameType.headers, 1, 1, headerBlock(get));
        yield* repeated(100_000, () => frame(frameType.continuation, 0, 1, ""));
      },
    ],
    [
      "data of no length",
      function* () {
        yield http2Get(1, { end: false });
        yield* repeated(200_000, () => http2Data(1, "", { end: false }));
      },
    ],
    ["settings", () => repeated(200_000, () => frame(frameType.settings, 0, 0, ""))],
    ["pings", () => repeated(200_000, () => frame(frameType.ping, 0, 0, "12345678"))],
    ["frames of an unknown type", () => repeated(200_000, () => frame(66, 0, 0, ""))],
  ])("with %s", async (_, parts) => {
    using client = await rawConnection(port);
    client.socket.write(http2Hello, "latin1");
    await writeAll(client, parts());
    await client.closed;
    expect(requests).toBeLessThan(10_000);
  });
});

test("headers that HPACK makes large out of little are refused, each request by itself", async () => {
  using client = await rawConnection(port);
  // With incremental indexing: from now on the one byte 0xbe stands for 3,900.
  const seed = `${headerBlock(get)}\x40${hpackText("a")}${hpackText("v".repeat(3900))}`;
  const bomb = headerBlock(get) + "\xbe".repeat(15_000);
  client.socket.write(http2Hello + frame(frameType.headers, 5, 1, seed), "latin1");
  const count = 100;
  for (let index = 1; index <= count; index++)
    client.socket.write(frame(frameType.headers, 5, nth(index), bomb), "latin1");
  const resets = () => frameTypes(client.received).filter((type) => type === frameType.resetStream).length;
  await eventually("each to be reset", () => resets() === count);
  expect(requests).toBe(1);
  client.socket.write(http2Get(nth(count + 1)), "latin1");
  await eventually("the next one to be served", () => requests === 2);
});

test("a client that does not read its answers loses them, and keeps its connection", async () => {
  using client = await rawConnection(port);
  // SETTINGS_INITIAL_WINDOW_SIZE 0.
  client.socket.write(http2HelloWith("\0\x04\0\0\0\0"));
  const large = to("/large");
  const count = 50;
  for (let index = 0; index < count; index++)
    client.socket.write(http2Headers(nth(index), large, { end: true }), "latin1");
  const resets = () => frameTypes(client.received).filter((type) => type === frameType.resetStream).length;
  await eventually("each to be reset", () => resets() === count);
  expect(frameTypes(client.received)).not.toContain(frameType.goAway);
  client.socket.write(http2Headers(nth(count), get, { end: true }), "latin1");
  await eventually("the next one to be served", () => requests === count + 1);
});
