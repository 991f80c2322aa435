import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HttpHandler } from "../../src/calls/http.ts";
import { limitsOwnAnswer } from "../../src/calls/open-stream.ts";
import { firstOf } from "../../src/calls/protocol-handler.ts";
import { restHandler } from "../../src/protocols/vapi/handler.ts";
import { jsonRpcHandler } from "../../src/protocols/vapi/json-rpc/handler.ts";
import type { Limits } from "../../src/server/limits.ts";
import { type HttpServerOptions, Server } from "../../src/server/server.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import {
  frame,
  frameType,
  http2Get,
  http2HelloWith,
  type RawConnection,
  rawConnection,
} from "../support/raw-connection.ts";
import { envelope, grpcHeaders, pathOf } from "../support/raw-rpc.ts";
import { lanes, maxBodyBytes, type RpcService, startRpcService } from "../support/rpc-service.ts";

const limits: Partial<Limits> = { headersMs: 300, requestMs: 300, takeMs: 300, sweepMs: 20, lingerMs: 500 };

let server: Server;
/** Those of the current server: the ones before may still be closing. */
let connections: { count: number };

async function listen(options: Pick<HttpServerOptions, "handler"> & Partial<HttpServerOptions>) {
  const open = { count: 0 };
  connections = open;
  const counter = { opened: () => void open.count++, closed: () => void open.count-- };
  server = new Server({ host: "127.0.0.1", port: 0, limits, connections: counter, ...options });
  return (await server.listen()).port;
}
afterEach(() => server.close(AbortSignal.abort()));

const post = (path: string, type: string, more = {}) => ({
  ":method": "POST",
  ":path": path,
  "content-type": type,
  ...more,
});
const grpc = (method: string) => ({ ":method": "POST", ":path": pathOf(method), ...grpcHeaders });
const web = (method: string) => post(pathOf(method), "application/grpc-web+proto");

const health = "/grpc.health.v1.Health";
const reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const restPath = "/api/content/library/item/download-session";
const invocation = JSON.stringify({
  jsonrpc: "2.0",
  id: "1",
  method: "invoke",
  params: {
    ctx: { appCtx: {}, securityCtx: {} },
    serviceId: "com.vmware.content.library.item.download_session",
    operationId: "list",
    input: { STRUCTURE: { "operation-input": {} } },
  },
});
/** A request for the session `abc`, and one that is not a message. */
const [message, rubbish] = [Buffer.from("\x0a\x03abc"), Buffer.from("\x0f")];
/** A batch of two. */
const batch = envelope(Buffer.from("\x0a\x05\x0a\x03abc\x0a\x05\x0a\x03abc"));

type Headers = Readonly<Record<string, string>>;

/** Every way in which a request is answered over HTTP/2: headers and body. */
const ways: Readonly<Record<string, readonly [headers: Headers, body: Buffer]>> = {
  gRPC: [grpc("List"), envelope(Buffer.alloc(0))],
  "gRPC, a batch": [grpc("BatchKeepAlive"), batch],
  "gRPC, a stream": [grpc("KeepAliveStream"), envelope(message)],
  "gRPC, compressed": [
    { ...grpc("BatchKeepAlive"), "grpc-encoding": "gzip" },
    envelope(gzipSync(batch.subarray(5)), 1),
  ],
  "gRPC-Web": [web("List"), envelope(Buffer.alloc(0))],
  Connect: [post(pathOf("List"), "application/json"), Buffer.from("{}")],
  "Connect, an error": [post(pathOf("Get"), "application/proto"), message],
  "Connect, not a message": [post(pathOf("Get"), "application/proto"), rubbish],
  "gRPC-Web, a watch": [web(`${health}/Watch`), envelope(Buffer.alloc(0))],
  health: [grpc(`${health}/Check`), envelope(Buffer.alloc(0))],
  "a watch of the health": [grpc(`${health}/Watch`), envelope(Buffer.alloc(0))],
  reflection: [grpc(reflection), envelope(Buffer.from("\x3a\x00"))],
  REST: [{ ":method": "GET", ":path": restPath }, Buffer.alloc(0)],
  "JSON-RPC": [post("/api", "application/json"), Buffer.from(invocation)],
};

describe.each(lanes)("$lane", ({ fastLane }) => {
  let service: RpcService;
  let session: ClientHttp2Session;
  const streams: ClientHttp2Stream[] = [];

  beforeEach(async () => {
    service = await startRpcService({
      fastLane,
      next: (parts) => {
        const json = jsonRpcHandler({ ...parts, maxBodyBytes });
        const rest = restHandler({ ...parts, maxBodyBytes });
        return {
          ...rest,
          serve: (request, response, path) =>
            (json.takes(request, path) ? json : rest).serve(request, response, path),
        };
      },
    });
    const port = await listen(firstOf(service.protocols));
    session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 0 } });
    await once(session, "remoteSettings");
  });
  afterEach(async () => {
    streams.length = 0;
    session.destroy();
    await service[Symbol.asyncDispose]();
  });

  const begin = (headers: Headers) => {
    const stream = session.request(headers, { endStream: false }).on("error", () => {});
    streams.push(stream);
    return stream;
  };
  const ends = () => streams.map(({ closed, rstCode }) => (closed ? rstCode : "open"));

  test("an answer that its client does not take is given up, on every way, and the connection lives", async () => {
    for (const [headers, body] of Object.values(ways)) begin(headers).end(body);
    await eventually(`the end of each (${Object.keys(ways)}): ${ends()}`, () => !ends().includes("open"));
    expect(ends()).toEqual(Object.keys(ways).map(() => constants.NGHTTP2_CANCEL));
    const again = begin(ways.REST![0]);
    again.end();
    const [headers] = await once(again, "response");
    expect(headers[":status"]).toBe(200);
    expect(connections.count).toBe(1);
  });

  test("a request has its time in all, however often a byte of it comes", async () => {
    const slow = Object.entries(ways).filter(([name]) => !/REST|stream|reflection/.test(name));
    slow.push(["REST", [post(restPath, "application/json"), Buffer.from("{}")]]);
    for (const [, [headers]] of slow) begin(headers);
    const timer = setInterval(() => {
      for (const stream of streams) if (!stream.closed && !stream.destroyed) stream.write("{");
    }, 30);
    try {
      await eventually(`the end of each of ${slow.length}`, () => !ends().includes("open"));
    } finally {
      clearInterval(timer);
    }
    expect(ends()).toEqual(slow.map(() => constants.NGHTTP2_CANCEL));
    expect(connections.count).toBe(1);
  });
});

describe("a client that does not read from its connection", () => {
  const large = Buffer.alloc(9_000_000);
  /** Answers with much; `/own` has a limit of its own. */
  const handler: HttpHandler = (request, response) => {
    if (request.url === "/own") limitsOwnAnswer(response);
    response.writeHead(200, { "content-length": String(large.length) });
    response.end(large);
  };
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  /** Windows as large as they can be. */
  const hello =
    http2HelloWith("\0\x04\x7f\xff\xff\xff") + frame(frameType.windowUpdate, 0, 0, "\x7f\xfe\0\0");

  async function unread(bytes: string): Promise<RawConnection> {
    const before = connections.count;
    const client = await rawConnection(server.port);
    client.socket.pause();
    client.socket.write(bytes, "latin1");
    await eventually("the connection", () => connections.count > before);
    return client;
  }

  beforeEach(() => listen({ handler }));

  test.each([
    ["HTTP/1.1", get("/")],
    ["HTTP/1.1, with more requests behind", get("/").repeat(3)],
    ["HTTP/2, where not even the reset gets through", hello + http2Get(1)],
  ])("loses it: %s", async (_, bytes) => {
    using _client = await unread(bytes);
    await eventually("the end of the connection", () => connections.count === 0);
  });

  test("keeps it while the answer has a limit of its own", async () => {
    using client = await unread(get("/own"));
    using _other = await unread(get("/"));
    expect(connections.count).toBe(2);
    await eventually("the end of the other", () => connections.count === 1);
    client.socket.resume();
    await eventually("the whole answer", () => client.received.length > large.length);
  });
});

describe("with more answers waiting than the process has room for", () => {
  const size = 2 ** 20;
  const handler: HttpHandler = (_, response) => {
    response.writeHead(200);
    response.end(Buffer.alloc(size));
  };

  test("the oldest are given up, and a client that reads gets its answer", async () => {
    await listen({ handler, limits: { ...limits, takeMs: 600_000, maxUnsentBytes: 6 * size } });
    const hoarder = connect(server.url, { settings: { initialWindowSize: 0 } });
    const five = () =>
      Promise.all(
        Array.from({ length: 5 }, async () => {
          const stream = hoarder.request({ ":path": "/" }).on("error", () => {});
          await once(stream, "response");
          return stream;
        }),
      );
    const old = await five();
    // The server looks a few times.
    await new Promise((resolve) => setTimeout(resolve, 10 * limits.sweepMs!));
    const young = await five();
    await eventually("room", () => old.every(({ closed }) => closed));
    expect(young.map(({ closed }) => closed)).toEqual(young.map(() => false));
    const answer = await fetch(server.url);
    expect((await answer.arrayBuffer()).byteLength).toBe(size);
    hoarder.destroy();
  });
});

test("the memory of a process does not follow what its clients leave unread", async () => {
  const program = fileURLToPath(new URL("../support/large-answers.ts", import.meta.url));
  const child = await startProcess(process.execPath, [program], { input: true });
  try {
    const lines = () => child.stdout.split("\n").slice(0, -1).map(Number);
    await eventually("the port", () => lines().length === 1);
    const rss = async () => {
      const before = lines().length;
      child.type("\n");
      await eventually("the memory", () => lines().length > before);
      return lines().at(-1)!;
    };
    const [url, before] = [`http://127.0.0.1:${lines()[0]}`, await rss()];
    const hoarders: ClientHttp2Session[] = [];
    let answers = 0;
    for (let count = 0; count < 20; count++) {
      const hoarder = connect(url, { settings: { initialWindowSize: 0 } });
      hoarders.push(hoarder);
      for (let index = 0; index < 100; index++)
        hoarder
          .request({ ":path": "/" })
          .on("error", () => {})
          .once("response", () => answers++);
      await eventually("the beginning of each answer", () => answers === 100 * hoarders.length);
    }
    const grown = (await rss()) - before;
    const answer = await fetch(url);
    expect((await answer.arrayBuffer()).byteLength, "others are served").toBe(2 ** 18);
    expect(grown).toBeLessThan(250 * 2 ** 20);
    for (const hoarder of hoarders) hoarder.destroy();
  } finally {
    await child.kill();
  }
});
