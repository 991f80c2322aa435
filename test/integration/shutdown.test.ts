import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { Client, credentials } from "@grpc/grpc-js";
import { type Logger, pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpHandler, HttpResponse } from "../../src/calls/http.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { type HttpServerOptions, Server } from "../../src/server/server.ts";
import { newEndings, type ShutdownParts, shutDown } from "../../src/server/shutdown.ts";
import { Health } from "../../src/telemetry/health.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, onFreePorts } from "../support/ports.ts";
import { frameTypes, http2Get, http2Hello, rawConnection } from "../support/raw-connection.ts";
import { startService } from "../support/service.ts";

const getRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const goAway = 7;
const never = new AbortController().signal;

const running: Server[] = [];

afterEach(async () => {
  for (const server of running.splice(0)) await server.close(AbortSignal.abort());
});

interface Held {
  readonly server: Server;
  readonly port: number;
  /** Responses that wait to be ended. */
  readonly responses: HttpResponse[];
}

/**
 * A server that leaves its requests for the test to answer. Its port is outside the system's range, so that no
 * other process gets it while the test still tries to connect.
 */
async function hold(options: Partial<HttpServerOptions> = {}): Promise<Held> {
  const responses: HttpResponse[] = [];
  const handler: HttpHandler = (request, response) => {
    request.resume();
    responses.push(response);
  };
  return onFreePorts(async () => {
    const port = await freePort();
    const server = new Server({ handler, host: "127.0.0.1", port, ...options });
    await server.listen();
    running.push(server);
    return { server, port, responses };
  });
}

async function next(responses: HttpResponse[]): Promise<HttpResponse> {
  await eventually("a request", () => responses.length > 0);
  return responses.shift()!;
}

/** Follows the state of a promise. */
function watch(promise: Promise<unknown>): { settled: boolean } {
  const state = { settled: false };
  const settle = () => {
    state.settled = true;
  };
  promise.then(settle, settle);
  return state;
}

async function isRefused(port: number): Promise<boolean> {
  try {
    using _ = await rawConnection(port);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  }
}

describe("drain", () => {
  test("makes every HTTP/1 answer the last of its connection, while all is still served", async () => {
    const { server, port, responses } = await hold();
    using begun = await rawConnection(port);
    begun.socket.write(getRequest);
    const underWay = await next(responses);
    server.drain();
    underWay.end("first");
    expect(await begun.closed).toMatch(/connection: close.*first$/is);

    using fresh = await rawConnection(port);
    fresh.socket.write(getRequest);
    (await next(responses)).end("second");
    expect(await fresh.closed).toMatch(/connection: close.*second$/is);

    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const request = session.request({ ":path": "/" });
    (await next(responses)).end("third");
    expect(await text(request)).toBe("third");
    expect(session.closed).toBe(false);
    session.destroy();
  });
});

async function text(stream: AsyncIterable<unknown>): Promise<string> {
  let all = "";
  for await (const chunk of stream) all += chunk;
  return all;
}

describe("close", () => {
  test("lets an HTTP/1 call finish, and takes no new connections", async () => {
    const { server, port, responses } = await hold();
    using client = await rawConnection(port);
    client.socket.write(getRequest);
    const response = await next(responses);
    const closing = watch(server.close(never));
    expect(await isRefused(port)).toBe(true);
    expect(closing.settled).toBe(false);
    response.end("done");
    expect(await client.closed).toMatch(/connection: close.*done$/is);
    await eventually("the end of the server", () => closing.settled);
  });

  test("serves an HTTP/1 client that has just connected", async () => {
    const { server, port, responses } = await hold();
    using newcomer = await rawConnection(port);
    // Connections are accepted in the order in which they come.
    const later = fetch(`http://127.0.0.1:${port}/`);
    (await next(responses)).end("later");
    expect(await (await later).text()).toBe("later");
    const closed = server.close(never);
    newcomer.socket.write(getRequest);
    (await next(responses)).end("done");
    expect(await newcomer.closed).toMatch(/connection: close.*done$/is);
    await closed;
  });

  test("closes the connection of an HTTP/1 answer that had begun as one of many", async () => {
    const { server, port, responses } = await hold();
    using client = await rawConnection(port);
    client.socket.write(getRequest);
    const response = await next(responses);
    response.writeHead(200, { "content-length": 8 });
    response.write("begin");
    await client.receives("begin");
    const closed = server.close(never);
    response.end("end");
    expect(await client.closed).toMatch(/beginend$/);
    await closed;
  });

  test("lets an HTTP/1 request that is still arriving be served", async () => {
    let opened = 0;
    const connections = { opened: () => void opened++, closed: () => {} };
    const { server, port, responses } = await hold({ connections });
    using client = await rawConnection(port);
    client.socket.write("GET / HTTP/1.1\r\n");
    await eventually("the beginning of the request", () => opened === 1);
    const closed = server.close(never);
    client.socket.write("Host: a\r\n\r\n");
    (await next(responses)).end("done");
    expect(await client.closed).toMatch(/connection: close.*done$/is);
    await closed;
  });

  test("lets an HTTP/2 call finish after GOAWAY has named the calls that are served", async () => {
    const { server, port, responses } = await hold();
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const request = session.request({ ":path": "/" });
    const response = await next(responses);
    const closing = watch(server.close(never));
    const [code, lastStreamId] = await once(session, "goaway");
    expect([code, lastStreamId]).toEqual([0, request.id]);
    expect(closing.settled).toBe(false);
    response.end("done");
    expect(await text(request)).toBe("done");
    await eventually("the end of the server", () => closing.settled);
  });

  test("closes idle connections of every kind at once", async () => {
    const { server, port, responses } = await hold({ limits: { helloMs: 600_000 } });
    using silent = await rawConnection(port);
    using keptAlive = await rawConnection(port);
    keptAlive.socket.write(getRequest);
    (await next(responses)).end("done");
    await keptAlive.receives("done");
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    await once(session, "remoteSettings");
    await server.close(never);
    expect(await silent.closed).toBe("");
    await keptAlive.closed;
    await eventually("the end of the session", () => session.destroyed);
  });

  test("does not wait for an HTTP/2 client that stays after GOAWAY", async () => {
    const { server, port, responses } = await hold({ limits: { lingerMs: 50 } });
    using client = await rawConnection(port);
    client.socket.allowHalfOpen = true;
    client.socket.write(http2Hello + http2Get(1), "latin1");
    (await next(responses)).end("done");
    await client.receives("done");
    await server.close(never);
    expect(frameTypes(client.received)).toContain(goAway);
  });

  test("cuts off at the deadline what has not finished", async () => {
    const { server, port, responses } = await hold();
    using client = await rawConnection(port);
    client.socket.write(getRequest);
    await next(responses);
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const request = session.request({ ":path": "/" });
    request.on("error", () => {});
    await next(responses);
    const deadline = new AbortController();
    const closed = server.close(deadline.signal);
    await once(session, "goaway");
    deadline.abort();
    await closed;
    expect(await client.closed).toBe("");
    await eventually("the end of the call", () => request.destroyed);
  });

  test("of one of two servers under load loses no gRPC call", async () => {
    let served = 0;
    const handler: HttpHandler = (request, response) => {
      request.resume();
      served++;
      response.setHeader("content-type", "application/grpc");
      response.addTrailers({ "grpc-status": "0" });
      response.end(Buffer.alloc(5));
    };
    const [one, other] = [await hold({ handler }), await hold({ handler })];
    const address = `ipv4:127.0.0.1:${one.port},127.0.0.1:${other.port}`;
    const client = new Client(address, credentials.createInsecure());
    const same = (bytes: Buffer) => bytes;
    const call = () =>
      new Promise<void>((resolve, reject) => {
        client.makeUnaryRequest("/a/b", same, same, Buffer.alloc(0), (error) =>
          error === null ? resolve() : reject(error),
        );
      });
    let loaded = true;
    const load = Array.from({ length: 50 }, async () => {
      while (loaded) await call();
    });
    await eventually("load", () => served > 500);
    await one.server.close(never);
    const before = served;
    await eventually("load on the other server", () => served > before + 500);
    loaded = false;
    await Promise.all(load);
    client.close();
  });
});

describe("the whole sequence", () => {
  interface Run {
    readonly events: string[];
    readonly logged: string[];
    readonly health: Health;
    readonly endStreams: AbortController;
    readonly endCalls: AbortController;
    readonly stopped: Promise<void>;
  }

  function stop(server: Server, parts: Partial<ShutdownParts> & { close?: () => Promise<void> } = {}): Run {
    const events: string[] = [];
    const logged: string[] = [];
    const log: Logger = pino({}, { write: (line) => void logged.push(JSON.parse(line).msg) });
    const health = new Health([]);
    health.set("SERVING");
    health.watch("", (status) => events.push(status));
    const endings = newEndings();
    const { endStreams, endCalls, endDownloads } = endings;
    endStreams.signal.addEventListener("abort", () => events.push("streams end"));
    endCalls.signal.addEventListener("abort", () => events.push("calls end"));
    endDownloads.signal.addEventListener("abort", () => events.push("downloads end"));
    const { close = async () => {} } = parts;
    const rest = {
      async [Symbol.asyncDispose]() {
        events.push("store closed");
        await close();
      },
    };
    const fixed = { health, server, rest, ...endings, log };
    return {
      events,
      logged,
      health,
      endStreams,
      endCalls,
      stopped: shutDown({ graceMs: 600_000, transferGraceMs: 0, drainMs: 0, ...fixed, ...parts }),
    };
  }

  test("is in order", async () => {
    const { server, port } = await hold();
    const { events, logged, health, endStreams, endCalls, stopped } = stop(server);
    // The monitor may still see the store up.
    health.set("SERVING");
    await stopped;
    expect(events).toEqual(["NOT_SERVING", "streams end", "calls end", "downloads end", "store closed"]);
    expect(logged).toEqual(["stopping", "stopped"]);
    const reason = new ServiceError("downlease.server.stopping");
    expect([endStreams.signal.reason, endCalls.signal.reason]).toEqual([reason, reason]);
    expect(await isRefused(port)).toBe(true);
  });

  test("waits for calls before it closes the store", async () => {
    const { server, port, responses } = await hold();
    const answer = fetch(`http://127.0.0.1:${port}/`);
    const response = await next(responses);
    const { events, stopped } = stop(server);
    await eventually("a closed port", () => isRefused(port));
    expect(events).not.toContain("store closed");
    response.end("done");
    expect(await (await answer).text()).toBe("done");
    await stopped;
    expect(events).toContain("store closed");
  });

  test("goes on serving, not ready, for the time to drain", async () => {
    const { server, port, responses } = await hold();
    const { events, stopped } = stop(server, { drainMs: 5_000 });
    const answer = fetch(`http://127.0.0.1:${port}/`);
    (await next(responses)).end("done");
    expect((await answer).headers.get("connection")).toBe("close");
    expect(events).toEqual(["NOT_SERVING"]);
    await stopped;
  });

  test.each([
    ["streams", "endStreams", 600_000],
    ["calls that take too long", "endCalls", 6_000],
  ] as const)("ends %s before the deadline", async (_, end, graceMs) => {
    const { server, port, responses } = await hold();
    const answer = fetch(`http://127.0.0.1:${port}/`);
    const response = await next(responses);
    const { logged, [end]: controller, stopped } = stop(server, { graceMs });
    controller.signal.addEventListener("abort", () => response.end("ended"));
    await stopped;
    expect(await (await answer).text()).toBe("ended");
    expect(logged).toEqual(["stopping", "stopped"]);
  });

  test("cuts off at the deadline, with a warning", async () => {
    const { server, port, responses } = await hold();
    const answer = fetch(`http://127.0.0.1:${port}/`);
    await next(responses);
    const { logged, stopped } = stop(server, { graceMs: 100 });
    await expect(answer).rejects.toThrow();
    await stopped;
    expect(logged).toEqual(["stopping", "the grace time was over before all calls had finished", "stopped"]);
  });

  test("takes no longer than the grace time for a long drain or a store that hangs", async () => {
    const { server } = await hold();
    const { events, stopped } = stop(server, {
      graceMs: 100,
      drainMs: 600_000,
      close: () => new Promise(() => {}),
    });
    await stopped;
    expect(events).toContain("store closed");
  });

  test("survives a store that fails to close", async () => {
    const { server } = await hold();
    const { logged, stopped } = stop(server, { close: () => Promise.reject(new Error("broken")) });
    await stopped;
    expect(logged).toEqual(["stopping", "a part of the service did not close well", "stopped"]);
  });
});

describe("the real process", () => {
  const path = "/com/vmware/content/library/item/download-session?~action=create";

  test.each(["SIGTERM", "SIGINT"] as const)(
    "ends with 0 on %s, and answers the call in flight",
    async (signal) => {
      await using service = await startService([]);
      using client = await rawConnection(service.port);
      const body = JSON.stringify({ create_spec: { library_item_id: "nowhere" } });
      client.socket.write(
        `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
      );
      client.socket.write(body.slice(0, 10));
      using idle = await rawConnection(service.port);
      idle.socket.write("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await idle.receives("SERVING");
      process.kill(service.pid, signal);
      await idle.closed;
      client.socket.write(body.slice(10));
      expect(await client.closed).toMatch(/^HTTP\/1.1 404 .*connection: close.*NOT_FOUND/is);
      expect(await service.exited).toEqual({ code: 0, signal: null });
      expect(service.logs.at(-1)).toMatchObject({ level: "info", msg: "stopped" });
    },
  );
});
