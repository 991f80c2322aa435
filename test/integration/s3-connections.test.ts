import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Body } from "../../src/content/s3/http/body.ts";
import { Connections } from "../../src/content/s3/http/connections.ts";
import { makeCertificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { type ScriptedServer, startScriptedServer } from "../support/scripted-server.ts";
import { tempDir } from "../support/temp-dir.ts";

const content = randomBytes(300_000);
const never = new AbortController().signal;

const servers = {} as Record<"http:" | "https:", ScriptedServer>;
let server: ScriptedServer;
let connections: Connections;

beforeAll(async () => {
  await using directory = await tempDir();
  const certificate = await makeCertificate(directory.path, "s3", {
    subject: "/CN=localhost",
    alternativeNames: "DNS:localhost,IP:127.0.0.1",
  });
  setDefaultCACertificates([...getCACertificates("default"), certificate.cert]);
  servers["http:"] = await startScriptedServer();
  servers["https:"] = await startScriptedServer(certificate);
});
afterAll(async () => {
  for (const each of Object.values(servers)) await each[Symbol.asyncDispose]();
});
beforeEach(() => {
  server = servers["http:"];
  connections = new Connections({ connectMs: 500, attemptMs: 500 });
});
afterEach(() => {
  for (const { sockets, requests } of Object.values(servers)) {
    for (const socket of sockets) socket.destroy();
    requests.length = 0;
  }
});

const get = (path = "/", protocol: "http:" | "https:" = "http:", signal = never) =>
  connections.send(
    {
      ...{ method: "GET", protocol, hostname: "127.0.0.1", port: servers[protocol].port, path },
      ...{ query: { "x-id": "Get Object" }, headers: { host: "storage", range: "bytes=0-1" } },
    },
    signal,
  );

/** All bytes of a body, read in pieces of this size. */
async function bytesOf(body: Body, pieceBytes = 70_001): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = Buffer.alloc(pieceBytes);
    const length = await body.read(piece);
    if (length === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, length));
  }
}

const declared = (bytes: Uint8Array | string, more = "") =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 206 Partial Content\r\nContent-Length: ${bytes.length}\r\n${more}\r\n`),
    Buffer.from(bytes),
  ]);

/** The content in chunks of growing size. */
function chunked(): Buffer {
  const parts = [Buffer.from("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n")];
  for (let at = 0, size = 1; at < content.length; at += size, size = size * 3) {
    const chunk = content.subarray(at, at + size);
    parts.push(Buffer.from(`${chunk.length.toString(16)};a=b\r\n`), chunk, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from("0\r\ntrailer: x\r\n\r\n")]);
}

const untilClose = Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\n\r\n"), content]);
const informed = Buffer.concat([
  Buffer.from("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"),
  declared(content),
]);

const framings: readonly (readonly [string, Buffer, boolean])[] = [
  ["of a declared length", declared(content), true],
  ["after an informational answer", informed, true],
  ["in chunks", chunked(), true],
  ["that ends with the connection", untilClose, false],
];

describe.each(["http:", "https:"] as const)("%s a body", (protocol) => {
  test.each(framings)("%s comes whole, however it is cut", async (_what, answer, isReused) => {
    for (const [sent, read] of [
      [answer.length, 500_000],
      [50_021, 70_001],
      [answer.length, 1_009],
    ] as const) {
      servers[protocol].answer = async (socket) => {
        for (let at = 0; at < answer.length; at += sent) {
          socket.write(answer.subarray(at, at + sent));
          await turn();
        }
        if (!isReused) socket.end();
      };
      const { body } = await get("/", protocol);
      expect(Buffer.compare(await bytesOf(body, read), content)).toBe(0);
      expect(body.isComplete).toBe(true);
    }
    expect(new Set(servers[protocol].requests).size).toBe(isReused ? 1 : 3);
  });

  test("is written to the memory of the read that waits, and to no other", async () => {
    let send: ((bytes: Uint8Array) => void) | undefined;
    servers[protocol].answer = (socket) => {
      socket.write(declared(content.subarray(0, 100_000), "").subarray(0, -100_000));
      send = (bytes) => void socket.write(bytes);
    };
    const { body } = await get("/", protocol);
    const [first, second] = [Buffer.alloc(30_000), Buffer.alloc(30_000)];
    send!(content.subarray(0, 60_000));
    expect(await body.read(first)).toBe(30_000);
    first.fill(0);
    send!(content.subarray(60_000, 90_000));
    // The rest may be on its way into memory that is not its reader's any more.
    await delay(50);
    expect(await body.read(second)).toBe(30_000);
    expect(first.every((byte) => byte === 0)).toBe(true);
    expect(Buffer.compare(second, content.subarray(30_000, 60_000))).toBe(0);
    body.destroy();
  });
});

const inChunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

test.each([
  ["in chunks of a negative length", `${inChunks}3\r\nabc\r\n-5\r\nabc`, "impossible length"],
  ["with a line of chunks without an end", `${inChunks}1;${"a".repeat(100_000)}`, "too long"],
  ["after answers without an end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(5_000), "too long"],
  ["in another coding", inChunks.replace("chunked", "gzip, chunked"), "coding"],
])("a body %s fails at once", async (_what, answer, message) => {
  server.answer = (socket) => socket.write(answer);
  await expect(get().then(({ body }) => bytesOf(body))).rejects.toThrow(message);
});

test("headers are in lower case, repeated ones joined; the request is as the SDK made it", async () => {
  let request = "";
  server.answer = (socket, text) => {
    request = text;
    socket.write(declared("abc", 'ETag: "a"\r\nX-B: 1\r\nx-b: 2\r\n'));
  };
  const { statusCode, headers } = await get("/b/k%20k");
  expect(request).toBe(
    "GET /b/k%20k?x-id=Get%20Object HTTP/1.1\r\nhost: storage\r\nrange: bytes=0-1\r\n\r\n",
  );
  expect(statusCode).toBe(206);
  expect({ ...headers }).toEqual({ "content-length": "3", etag: '"a"', "x-b": "1, 2" });
});

test("a read does not wait for more than a moment once it has bytes", async () => {
  server.answer = async (socket) => {
    socket.write(declared(content).subarray(0, -content.length));
    for (let at = 0; at < content.length && !socket.destroyed; at += 1_000) {
      socket.write(content.subarray(at, at + 1_000));
      await delay(20);
    }
  };
  const { body } = await get();
  const bytes = await body.read(new Uint8Array(content.length));
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(content.length / 2);
  body.destroy();
});

describe("a connection", () => {
  const answers = (answer: (socket: Socket) => unknown) => {
    server.answer = answer;
  };
  const use = async () => bytesOf((await get()).body);

  test("is used again, and another one when the server has closed it meanwhile", async () => {
    answers((socket) => socket.write(declared("abc")));
    await use();
    await use();
    expect(new Set(server.requests).size).toBe(1);
    // Closed with the next request, as when it was already on its way.
    let closes = true;
    answers((socket) => {
      if (closes) socket.resetAndDestroy();
      else socket.write(declared("abc"));
      closes = false;
    });
    expect((await use()).toString()).toBe("abc");
    expect(new Set(server.requests).size).toBe(2);
  });

  test.each([
    ["closed, where the server says so", "connection: close\r\n", "abc", "abc"],
    ["closed, when bytes come that are no answer", "", "abc", "abcHTTP/1.1 200 OK\r\n\r\n"],
  ])("is %s", async (_what, more, body, sent) => {
    answers((socket) => {
      const head = declared(body, more).subarray(0, -body.length);
      socket.write(Buffer.concat([head, Buffer.from(sent)]));
    });
    expect((await use()).toString()).toBe("abc");
    await eventually("the connection to be closed", () => server.sockets.size === 0);
  });

  test("is closed when bytes come while it is unused", async () => {
    answers((socket) => socket.write(declared("abc")));
    await use();
    for (const socket of server.sockets) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
    await eventually("the connection to be closed", () => server.sockets.size === 0);
    expect((await use()).toString()).toBe("abc");
  });

  test.each([
    ["garbage", "SSH-2.0-x\r\n\r\n"],
    ["a length that is none", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"],
    ["headers without end", `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(20_000)}`],
    ["nothing, and closes", undefined],
    ["nothing", ""],
  ])("is closed, and the request fails, when the server answers with %s", async (_what, text) => {
    answers((socket) => (text === undefined ? socket.end() : socket.write(text)));
    await expect(get()).rejects.toThrow();
    await eventually("the connection to be closed", () => server.sockets.size === 0);
  });

  test("that breaks in the middle fails the read after the bytes that came", async () => {
    answers((socket) => {
      socket.end(declared(content).subarray(0, 1_000));
    });
    const { body } = await get();
    const into = new Uint8Array(500_000);
    expect(await body.read(into)).toBeGreaterThan(0);
    await expect(body.read(into)).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  test("is closed with its body, and when the request is aborted", async () => {
    answers((socket) => socket.write(declared(content)));
    const { body } = await get();
    const reading = bytesOf(body).catch((error: Error) => error.message);
    body.destroy();
    expect(await reading).toContain("not read to its end");
    answers(() => {});
    const abort = new AbortController();
    const request = get("/", "http:", abort.signal);
    await eventually("the request", () => server.requests.length === 2);
    abort.abort(new Error("no longer wanted"));
    await expect(request).rejects.toThrow("no longer wanted");
    await eventually("the connections to be closed", () => server.sockets.size === 0);
  });
});

test("what came with the headers of a body is not touched by other bodies", async () => {
  server.answer = (socket, request) =>
    socket.write(declared(request.includes("/zeros") ? Buffer.alloc(10_000) : content.subarray(0, 10_000)));
  const { body } = await get();
  await get("/zeros");
  expect(Buffer.compare(await bytesOf(body), content.subarray(0, 10_000))).toBe(0);
});

test("bodies that are not read hold what came with their headers, no more", async () => {
  connections = new Connections({ connectMs: 20_000, attemptMs: 20_000 });
  const large = declared(Buffer.alloc(2 ** 20));
  server.answer = (socket) => socket.write(large);
  const before = process.memoryUsage().arrayBuffers;
  const answers = await Promise.all(Array.from({ length: 300 }, () => get()));
  for (const { body } of answers) expect(await body.read(new Uint8Array(1))).toBe(1);
  const each = (process.memoryUsage().arrayBuffers - before) / answers.length;
  expect(each).toBeLessThan(40 * 1024);
  for (const { body } of answers) body.destroy();
});
