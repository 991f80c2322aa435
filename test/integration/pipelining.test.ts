import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { HttpHandler, HttpResponse } from "../../src/calls/http.ts";
import { Server } from "../../src/server/server.ts";
import { eventually } from "../support/eventually.ts";
import { type RawConnection, rawConnection } from "../support/raw-connection.ts";
import { type Service, startService } from "../support/service.ts";

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const count = (text: string, part: string) => text.split(part).length - 1;

describe("requests that are sent ahead on one connection", () => {
  const maxPipelined = 4;
  const lingerMs = 200;
  let server: Server;
  let client: RawConnection;
  const begun: { readonly url: string; readonly response: HttpResponse }[] = [];
  /** Answers when the test says so. */
  const handler: HttpHandler = ({ url = "" }, response) => void begun.push({ url, response });

  async function sent(requests: string): Promise<void> {
    begun.length = 0;
    server = new Server({ handler, host: "127.0.0.1", port: 0, limits: { maxPipelined, lingerMs } });
    await server.listen();
    client = await rawConnection(server.port);
    client.socket.write(requests);
    await eventually("the first request", () => begun.length > 0);
  }
  const paths = () => begun.map(({ url }) => url);
  const answer = (index: number) => begun[index]!.response.end(`answer to ${begun[index]!.url}`);
  const requests = (number: number) =>
    Array.from({ length: number }, (_, index) => get(`/${index}`)).join("");

  afterEach(async () => {
    client[Symbol.dispose]();
    await server.close(AbortSignal.abort());
  });

  test("are served side by side, and answered in order", async () => {
    await sent(requests(maxPipelined - 1));
    expect(paths()).toEqual(["/0", "/1", "/2"]);
    for (const index of [2, 1, 0]) answer(index);
    await client.receives("answer to /2");
    expect(client.received.match(/answer to \/\d/g)).toEqual([
      "answer to /0",
      "answer to /1",
      "answer to /2",
    ]);
    expect(client.received).not.toContain("Connection: close");
  });

  test("may be as many again when some of them are answered", async () => {
    await sent(requests(maxPipelined - 1));
    for (let more = 0; more < 5; more++) {
      answer(more);
      await client.receives(`answer to /${more}`);
      client.socket.write(get(`/${more + 3}`));
      await eventually("the next request", () => begun.length === more + 4);
    }
    expect(client.received).not.toContain("Connection: close");
  });

  test("are served up to the limit; then the connection is closed", async () => {
    await sent(requests(1000));
    expect(paths()).toEqual(["/0", "/1", "/2", "/3"]);
    for (const index of [0, 1, 2, 3]) answer(index);
    const received = await client.closed;
    expect(received.match(/answer to \/\d+/g)).toHaveLength(maxPipelined);
    expect(count(received, "Connection: close")).toBe(1);
    expect(begun).toHaveLength(maxPipelined);
  });

  test("exactly to the limit are all answered, without a hurry", async () => {
    await sent(requests(maxPipelined));
    await delay(2 * lingerMs);
    for (const index of [0, 1, 2, 3]) answer(index);
    expect((await client.closed).match(/answer to \/\d+/g)).toHaveLength(maxPipelined);
  });

  test("beyond the limit are not kept while answers take their time: the connection is cut", async () => {
    await sent(requests(1000));
    begun[0]!.response.writeHead(200);
    begun[0]!.response.write("a part");
    expect(await client.closed).toContain("a part");
  });

  test("do not grow in number when they come one after the other", async () => {
    await sent(get("/first"));
    for (let more = 0; more < 100; more++) client.socket.write(get("/more"));
    await eventually("the requests", () => begun.length >= maxPipelined);
    await client.closed;
    expect(begun).toHaveLength(maxPipelined);
  });
});

describe("the service", () => {
  let service: Service;
  const clients: RawConnection[] = [];
  beforeAll(async () => {
    service = await startService([]);
  });
  afterAll(() => service.stop());
  afterEach(() => {
    for (const client of clients.splice(0)) client[Symbol.dispose]();
  });

  async function residentMegabytes(): Promise<number> {
    const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${service.pid}/status`, "utf8")) ?? [];
    return Number(kilobytes) / 1024;
  }

  /** Connections that send 240 KiB of requests in all, and read nothing. */
  async function flood(url: string, path: string): Promise<void> {
    const requests = get(path).repeat(Math.floor((60 * 1024) / get(path).length));
    for (let number = 0; number < 4; number++) {
      const client = await rawConnection(Number(new URL(url).port));
      client.socket.pause();
      client.socket.write(requests);
      clients.push(client);
    }
  }

  test("serves others while metrics are pipelined", async () => {
    const { url, adminUrl } = service;
    await (await fetch(`${adminUrl}/metrics`)).text();
    const before = await residentMegabytes();
    await flood(adminUrl, "/metrics");
    for (let time = 0; time < 20; time++) {
      for (const page of [`${url}/api/content/library`, `${url}/readyz`, `${adminUrl}/healthz`])
        expect((await fetch(page)).status, page).toBe(200);
    }
    expect((await residentMegabytes()) - before).toBeLessThan(60);
  });

  test.each(["/api/content/library", "/healthz", "/readyz"])("answers %s 16 times", async (path) => {
    await flood(service.url, path);
    for (const { socket } of clients) socket.resume();
    const received = await Promise.all(clients.map(({ closed }) => closed));
    expect(received.map((text) => count(text, "HTTP/1.1 200 OK"))).toEqual(Array(4).fill(16));
  });

  test("computes its metrics once a second, however many streams of HTTP/2 request them", async () => {
    const session = connect(service.adminUrl);
    // Before it knows how many streams the service takes at a time, some would be refused.
    await once(session, "remoteSettings");
    const since = performance.now();
    const pages = new Set<string>();
    await Promise.all(
      Array.from({ length: 500 }, async () => {
        let page = "";
        for await (const part of session.request({ ":path": "/metrics" }).setEncoding("utf8")) page += part;
        pages.add(page);
      }),
    );
    session.destroy();
    expect(pages).not.toContain("");
    // Each computation reads the time of the processor again.
    expect(pages.size).toBeLessThanOrEqual(2 + (performance.now() - since) / 1000);
  });
});
