import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { get as httpGet } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { get as httpsGet } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { HttpHandler } from "../../src/calls/http.ts";
import type { Limits } from "../../src/server/limits.ts";
import { type HttpServerOptions, Server } from "../../src/server/server.ts";
import { eventually } from "../support/eventually.ts";
import {
  frame,
  frameType,
  frameTypes,
  http2Get,
  http2Hello,
  rawConnection,
} from "../support/raw-connection.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Answers with the HTTP version and the size of the body; leaves bodies to /unread where they are. */
const handler: HttpHandler = async (request, response) => {
  let size = 0;
  if (request.url !== "/unread") {
    try {
      for await (const chunk of request) size += chunk.length;
    } catch {
      return;
    }
  }
  response.writeHead(200, { "content-type": "text/plain" });
  response.end(`HTTP ${request.httpVersion}, ${size} bytes`);
};

let tls: { cert: Buffer; key: Buffer };
const servers: Server[] = [];

beforeAll(async () => {
  await using directory = await tempDir();
  const [cert, key] = [`${directory.path}/cert.pem`, `${directory.path}/key.pem`];
  await promisify(execFile)("openssl", [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(" "),
    ...["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
  ]);
  tls = { cert: await readFile(cert), key: await readFile(key) };
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close(AbortSignal.abort());
});

async function listen(options: Partial<HttpServerOptions> = {}): Promise<number> {
  const server = new Server({ handler, host: "127.0.0.1", port: 0, ...options });
  const { port } = await server.listen();
  servers.push(server);
  return port;
}

const listenWith = (limits: Partial<Limits>) => listen({ limits });

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function http1(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/`)).text();
}

async function http2(session: ClientHttp2Session, headers: Record<string, string> = {}): Promise<string> {
  return textOf(session.request({ ":path": "/", ...headers }));
}

async function overNewSession(port: number): Promise<string> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    return await http2(session);
  } finally {
    session.destroy();
  }
}

/** Both protocols still work. */
async function expectServing(port: number): Promise<void> {
  expect(await http1(port)).toBe("HTTP 1.1, 0 bytes");
  expect(await overNewSession(port)).toBe("HTTP 2.0, 0 bytes");
}

const goAway = 7;
const getRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

describe("one port in clear text", () => {
  test("speaks HTTP/1.1 and HTTP/2 with prior knowledge", async () => {
    await expectServing(await listen());
  });

  test("serves request after request on one HTTP/1.1 connection", async () => {
    using client = await rawConnection(await listen());
    client.socket.write(getRequest);
    await client.receives("HTTP 1.1, 0 bytes");
    client.socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`);
    await client.receives("HTTP 1.1, 3 bytes");
  });

  test.each([
    ["GET", getRequest],
    ["POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
    ["PROPFIND, which starts like HTTP/2", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"],
  ])("reads %s that comes byte by byte", async (_, request) => {
    using client = await rawConnection(await listen());
    client.socket.setNoDelay(true);
    for (const byte of request) {
      client.socket.write(byte);
      await new Promise(setImmediate);
    }
    await client.receives("HTTP 1.1, 0 bytes");
  });

  test("reads HTTP/2 that comes byte by byte", async () => {
    using client = await rawConnection(await listen());
    client.socket.setNoDelay(true);
    for (const byte of http2Hello + http2Get(1)) {
      client.socket.write(byte, "latin1");
      await new Promise(setImmediate);
    }
    await client.receives("HTTP 2.0, 0 bytes");
  });

  test("reports when connections of each protocol open and close", async () => {
    const open = { http1: 0, h2: 0 };
    const seen: string[] = [];
    const port = await listen({
      connections: {
        opened(version) {
          open[version]++;
          seen.push(version);
        },
        closed: (version) => void open[version]--,
      },
    });
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    await http2(session);
    using client = await rawConnection(port);
    client.socket.write(getRequest);
    using silent = await rawConnection(port);
    await eventually("both to be counted", () => open.http1 === 1 && open.h2 === 1);
    session.destroy();
    client.socket.destroy();
    silent.socket.destroy();
    await eventually("both to be gone", () => open.http1 === 0 && open.h2 === 0);
    expect(seen.sort()).toEqual(["h2", "http1"]);
  });

  test("rejects when the port is taken", async () => {
    const port = await listen();
    const second = new Server({ handler, host: "127.0.0.1", port });
    await expect(second.listen()).rejects.toThrow("EADDRINUSE");
  });
});

describe("TLS", () => {
  test("speaks HTTP/2 to a client that asks for it by ALPN", async () => {
    const port = await listen({ tls });
    const session = connectHttp2(`https://localhost:${port}`, { ca: tls.cert, host: "127.0.0.1" });
    expect(await http2(session)).toBe("HTTP 2.0, 0 bytes");
    expect(session.alpnProtocol).toBe("h2");
    session.destroy();
  });

  test("speaks HTTP/1.1 to a client that asks for it by ALPN", async () => {
    const port = await listen({ tls });
    const request = httpsGet({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: tls.cert,
      agent: false,
    });
    const [response] = await once(request, "response");
    expect(await textOf(response)).toBe("HTTP 1.1, 0 bytes");
  });

  test("speaks HTTP/1.1 to a client without ALPN", async () => {
    using client = await rawConnection(await listen({ tls }), { ca: tls.cert });
    client.socket.write(getRequest);
    await client.receives("HTTP 1.1, 0 bytes");
  });

  test("refuses versions before 1.2", async () => {
    const port = await listen({ tls });
    // The cipher list lets this client, at least, speak the old version.
    const socket = connectTls({
      ...{ port, host: "127.0.0.1", servername: "localhost", ca: tls.cert },
      ...{ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" },
    });
    await expect(once(socket, "secureConnect")).rejects.toThrow(/protocol version/i);
  });

  test("cuts off clients that do not speak TLS, or do not speak at all", async () => {
    const port = await listen({ tls, limits: { helloMs: 100 } });
    using plain = await rawConnection(port);
    plain.socket.write(getRequest);
    using silent = await rawConnection(port);
    using afterHandshake = await rawConnection(port, { ca: tls.cert });
    expect(await plain.closed).not.toContain("HTTP/1.1 200");
    expect(await silent.closed).toBe("");
    expect(await afterHandshake.closed).toBe("");
    using client = await rawConnection(port, { ca: tls.cert });
    client.socket.write(getRequest);
    await client.receives("HTTP 1.1, 0 bytes");
  });
});

describe("closing with TLS", () => {
  async function oneOfEach(options: Partial<HttpServerOptions>) {
    const server = new Server({ handler, host: "127.0.0.1", port: 0, tls, ...options });
    const { port } = await server.listen();
    const http1 = await rawConnection(port, { ca: tls.cert, ALPNProtocols: ["http/1.1"] });
    http1.socket.write(getRequest);
    const session = connectHttp2(`https://localhost:${port}`, { ca: tls.cert, host: "127.0.0.1" });
    // A request that is cut ends or fails, as the timing has it.
    const answer = http2(session).catch(() => "");
    return { server, port, http1, session, answer };
  }

  test("ends idle connections, also those that were never used", async () => {
    const { server, port, http1, session, answer } = await oneOfEach({ limits: { helloMs: 600_000 } });
    await http1.receives("0 bytes");
    expect(await answer).toBe("HTTP 2.0, 0 bytes");
    using unused = await rawConnection(port, { ca: tls.cert });
    await server.close(new AbortController().signal);
    await Promise.all([http1.closed, unused.closed, eventually("no session", () => session.destroyed)]);
  });

  test("cuts off busy ones at the deadline", async () => {
    let requests = 0;
    const { server, http1, answer } = await oneOfEach({ handler: () => void requests++ });
    await eventually("both requests", () => requests === 2);
    await server.close(AbortSignal.abort());
    expect(await http1.closed).toBe("");
    expect(await answer).toBe("");
  });
});

describe("slow clients are cut off", () => {
  test.each([
    ["nothing", ""],
    ["half of the HTTP/2 preface", "PR"],
  ])("that send %s", async (_, text) => {
    const port = await listenWith({ helloMs: 100 });
    using client = await rawConnection(port);
    client.socket.write(text);
    expect(await client.closed).toBe("");
    await expectServing(port);
  });

  test.each([
    ["headers that never end", "GET / HTTP/1.1\r\nHost: a\r\n"],
    ["a body that never ends", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"],
  ])("that send %s, with 408", async (_, text) => {
    const port = await listenWith({ headersMs: 100, requestMs: 100, checkMs: 50 });
    using client = await rawConnection(port);
    client.socket.write(text);
    expect(await client.closed).toMatch(/^HTTP\/1.1 408 /);
    await expectServing(port);
  });

  test("that send headers byte by byte", async () => {
    const port = await listenWith({ headersMs: 200, requestMs: 200, checkMs: 50 });
    using client = await rawConnection(port);
    client.socket.write("GET / HTTP/1.1\r\n");
    const trickle = setInterval(() => client.socket.write("x-a: b\r\n"), 20);
    expect(await client.closed).toMatch(/^HTTP\/1.1 408 /);
    clearInterval(trickle);
  });

  test("that send nothing after the preface of HTTP/2", async () => {
    const port = await listenWith({ helloMs: 100 });
    using client = await rawConnection(port);
    client.socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await client.closed;
    await expectServing(port);
  });

  test("that send half a request over HTTP/2; only the request is reset", async () => {
    const port = await listenWith({ headersMs: 100, requestMs: 100 });
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const request = session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
    request.write("abc");
    request.on("error", () => {});
    await once(request, "close");
    expect(request.rstCode).not.toBe(0);
    expect(await http2(session)).toBe("HTTP 2.0, 0 bytes");
    session.destroy();
  });

  test("that leave a connection idle", async () => {
    const port = await listenWith({ sessionIdleMs: 100, keepAliveMs: 1 });
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    expect(await http2(session)).toBe("HTTP 2.0, 0 bytes");
    using client = await rawConnection(port);
    client.socket.write(getRequest);
    await Promise.all([once(session, "close"), client.closed]);
    expect(client.received).toContain("HTTP/1.1 200 OK");
  });

  test("that stay connected after the last answer of a connection that was given up", async () => {
    const respond = Promise.withResolvers<void>();
    let open = 0;
    const port = await listen({
      async handler(request, response) {
        request.resume();
        await respond.promise;
        response.end("late");
      },
      limits: { sessionIdleMs: 100, lingerMs: 50 },
      connections: { opened: () => void open++, closed: () => void open-- },
    });
    using client = await rawConnection(port);
    client.socket.allowHalfOpen = true;
    client.socket.write(http2Hello + http2Get(1), "latin1");
    await eventually("GOAWAY", () => frameTypes(client.received).includes(frameType.goAway));
    // Longer than the server lingers.
    await delay(150);
    respond.resolve();
    await client.receives("late");
    await eventually("the end of the connection", () => open === 0);
  });

  test("that leave an HTTP/2 connection without requests, but for PINGs", async () => {
    const port = await listenWith({ sessionIdleMs: 200, lingerMs: 50 });
    using client = await rawConnection(port);
    client.socket.write(http2Hello + http2Get(1), "latin1");
    const pings = setInterval(
      () => client.socket.write(frame(frameType.ping, 0, 0, "12345678"), "latin1"),
      20,
    );
    await client.closed;
    clearInterval(pings);
    expect(frameTypes(client.received)).toContain(frameType.goAway);
  });

  test("a quiet response over HTTP/2 is not taken for a slow client", async () => {
    let isOver = () => {};
    const quiet: HttpHandler = (request, response) => {
      request.resume();
      response.writeHead(200);
      response.write("begin ");
      isOver = () => response.end("end");
    };
    let open = 0;
    const port = await listen({
      handler: quiet,
      limits: { headersMs: 50, requestMs: 50, sessionIdleMs: 50, lingerMs: 50 },
      connections: { opened: () => void open++, closed: () => void open-- },
    });
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const text = http2(session);
    // The client gets GOAWAY, and opens another connection.
    await once(session, "goaway");
    // When a client that comes now, and does nothing at all, is disconnected, every limit has had its turn.
    using idle = await rawConnection(port);
    idle.socket.allowHalfOpen = true;
    idle.socket.write(http2Hello, "latin1");
    await eventually("the idle connection", () => open === 2);
    await eventually("its end", () => open === 1);
    isOver();
    expect(await text).toBe("begin end");
  });
});

describe("hostile clients are refused and leave the others alone", () => {
  test.each([
    ["garbage", "\x00\x01\x02garbage\r\n\r\n", 400],
    ["a request without a Host", "GET / HTTP/1.1\r\n\r\n", 400],
    [
      "a body of two lengths",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["headers of a megabyte", `GET / HTTP/1.1\r\nHost: a\r\nx-large: ${"x".repeat(1_000_000)}\r\n\r\n`, 431],
    [
      "chunk extensions of a megabyte",
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=${"x".repeat(1_000_000)}`,
      413,
    ],
  ])("%s", async (_, text, status) => {
    const port = await listen();
    using client = await rawConnection(port);
    const errors: Error[] = [];
    client.socket.on("error", (error) => errors.push(error));
    client.socket.write(text, "latin1");
    expect(await client.closed).toContain(`HTTP/1.1 ${status} `);
    // A reset may overtake the answer.
    expect(errors).toEqual([]);
    await expectServing(port);
  });

  test("a client that goes on sending after a refusal", async () => {
    const port = await listenWith({ lingerMs: 100 });
    using client = await rawConnection(port);
    const flood = setInterval(() => client.socket.write("garbage"), 10);
    expect(await client.closed).toBe(
      "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    clearInterval(flood);
  });

  test("garbage in the middle of an answer ends the connection without a second answer", async () => {
    const begun: HttpHandler = (_, response) => {
      response.writeHead(200);
      response.write("begin");
    };
    using client = await rawConnection(await listen({ handler: begun }));
    client.socket.write(getRequest);
    await client.receives("begin");
    client.socket.write("garbage\r\n\r\n");
    expect(await client.closed).not.toContain("400");
  });

  test("garbage after the preface of HTTP/2", async () => {
    const port = await listenWith({ lingerMs: 100 });
    using client = await rawConnection(port);
    client.socket.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"garbage".repeat(100)}`);
    await client.closed;
    await expectServing(port);
  });

  test("HTTP/2 headers that are too large: only the request is refused", async () => {
    const port = await listen();
    const session = connectHttp2(`http://127.0.0.1:${port}`, { maxSendHeaderBlockLength: 1_000_000 });
    await http2(session);
    const headers = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`x-${i}`, "x".repeat(1_000)]));
    await expect(http2(session, headers)).rejects.toThrow();
    expect(await http2(session)).toBe("HTTP 2.0, 0 bytes");
    session.destroy();
  });

  test("more HTTP/2 requests at a time than allowed wait for their turn", async () => {
    const port = await listenWith({ maxConcurrentStreams: 2 });
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    // From here on the client knows the limit.
    await http2(session);
    const texts = await Promise.all(Array.from({ length: 20 }, () => http2(session)));
    expect(new Set(texts)).toEqual(new Set(["HTTP 2.0, 0 bytes"]));
    session.destroy();
  });

  test("HTTP/2 bodies that nobody reads do not block their connection", async () => {
    const port = await listen();
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const post = async (path: string) => {
      const request = session.request({ ":method": "POST", ":path": path });
      request.end(Buffer.alloc(60_000));
      return textOf(request);
    };
    for (let i = 0; i < 10; i++) expect(await post("/unread")).toBe("HTTP 2.0, 0 bytes");
    expect(await post("/")).toBe("HTTP 2.0, 60000 bytes");
    session.destroy();
  });
});

test("connections that are too many are closed, and counted", async () => {
  let refused = 0;
  const port = await listen({
    maxConnections: 5,
    connections: { opened() {}, closed() {}, refused: () => void refused++ },
  });
  const clients = await Promise.all(Array.from({ length: 4 }, () => rawConnection(port)));
  // The fifth place is for another address.
  using late = await rawConnection(port);
  await late.closed;
  expect(refused).toBe(1);
  for (const client of clients) {
    client.socket.write(getRequest);
    await client.receives("HTTP/1.1 200 OK");
  }
  clients[0]![Symbol.dispose]();
  await eventually("a place", async () => {
    using next = await rawConnection(port);
    next.socket.write(getRequest);
    await Promise.race([next.receives("HTTP/1.1 200 OK"), next.closed]);
    return next.received.includes("200 OK");
  });
  for (const client of clients) client[Symbol.dispose]();
});

describe("connections that end early", () => {
  const beginnings = [
    ["before the first byte", ""],
    ["in the HTTP/2 preface", "PR"],
    ["in the headers", "GET / HTTP/1.1\r\n"],
    ["in the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"],
    ["in HTTP/2 settings", http2Hello.slice(0, -3)],
    ["in an HTTP/2 request", http2Hello + http2Get(1, { end: false })],
  ] as const;

  test.each(beginnings)("half closed %s", async (_, text) => {
    const port = await listen();
    using client = await rawConnection(port);
    client.socket.end(text, "latin1");
    await client.closed;
    await expectServing(port);
  });

  test.each(beginnings)("reset %s", async (_, text) => {
    let open = 0;
    const connections = { opened: () => void open++, closed: () => void open-- };
    const port = await listen({ connections });
    using client = await rawConnection(port);
    client.socket.write(text, "latin1");
    await new Promise(setImmediate);
    client.socket.resetAndDestroy();
    await expectServing(port);
    await eventually("no connection to be left", () => open <= 1);
  });
});

test("an idle client that stays after GOAWAY is disconnected", async () => {
  let open = 0;
  const port = await listen({
    limits: { sessionIdleMs: 50, lingerMs: 50 },
    connections: { opened: () => void open++, closed: () => void open-- },
  });
  using client = await rawConnection(port);
  client.socket.allowHalfOpen = true;
  client.socket.write(http2Hello, "latin1");
  await eventually("GOAWAY", () => frameTypes(client.received).includes(goAway));
  await eventually("the end of the connection", () => open === 0);
});

test("an HTTP/1 client of Node keeps its connection", async () => {
  let opened = 0;
  const port = await listen({ connections: { opened: () => void opened++, closed: () => {} } });
  for (let i = 0; i < 3; i++) {
    const [response] = await once(httpGet({ port, host: "127.0.0.1" }), "response");
    expect(await textOf(response)).toBe("HTTP 1.1, 0 bytes");
  }
  expect(opened).toBe(1);
});
