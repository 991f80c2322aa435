import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { download } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { grpcJsCall, grpcJsClient, loadInterface } from "../support/grpc-js.ts";
import { type Haproxy, startHaproxy } from "../support/haproxy.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const item = "item-101";

let content: TempDir;
let redis: RedisServer;
let first: Service;
let second: Service;
let haproxy: Haproxy;

beforeAll(async () => {
  [content, redis] = await Promise.all([library(), startRedis()]);
  // HAProxy notices within two checks, 500 ms apart.
  const flags = [
    "--log-level",
    "debug",
    "--redis-url",
    redis.url,
    "--content-root",
    content.path,
    "--drain-seconds",
    "2",
    "--trusted-proxies",
    "127.0.0.1",
  ];
  [first, second] = await Promise.all([startService(flags), startService(flags)]);
  haproxy = await startHaproxy([`127.0.0.1:${first.port}`, `127.0.0.1:${second.port}`]);
});

afterAll(async () => {
  await haproxy?.stop();
  await Promise.all([first?.kill(), second?.kill()]);
  await Promise.all([redis?.stop(), content?.remove()]);
});

async function library(): Promise<TempDir> {
  const directory = await tempDir();
  const folder = join(directory.path, "library", "item");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, ".item.json"), JSON.stringify({ id: item }));
  await writeFile(join(folder, "disk.iso"), "content");
  return directory;
}

/** The three operations that the tests need, over one protocol. `requestId` is what the serving replica logs. */
interface Sessions extends Disposable {
  create(requestId: string): Promise<string>;
  keepAlive(id: string, progress: number, requestId: string): Promise<void>;
  progress(id: string): Promise<number>;
}

const openers: Record<string, (url: string) => Sessions> = { gRPC: overGrpc, REST: overRest };

const grpcInterface = loadInterface();

function overGrpc(url: string): Sessions {
  const client = grpcJsClient(grpcInterface, "content.library.item.v1.DownloadSessionService", url);
  const call = async (method: string, request: object, headers: Record<string, string> = {}) => {
    const { reply, code, details } = await grpcJsCall(client, method, request, { headers });
    if (reply === undefined) throw new Error(`${code} ${details}`);
    return reply;
  };
  return {
    async create(requestId) {
      const request = { create_spec: { library_item_id: item } };
      const reply = await call("Create", request, { "x-request-id": requestId });
      return reply.download_session_id as string;
    },
    async keepAlive(id, progress, requestId) {
      await call("KeepAlive", { download_session_id: id, progress }, { "x-request-id": requestId });
    },
    async progress(id) {
      const { download_session } = await call("Get", { download_session_id: id });
      return Number((download_session as { client_progress: string }).client_progress);
    },
    [Symbol.dispose]: () => client.close(),
  };
}

function overRest(url: string): Sessions {
  const sessions = `${url}/com/vmware/content/library/item/download-session`;
  const post = async (path: string, body: object, requestId: string) => {
    const headers = { "content-type": "application/json", "x-request-id": requestId };
    const response = await fetch(sessions + path, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text).value;
  };
  return {
    create: (requestId) => post("?~action=create", { create_spec: { library_item_id: item } }, requestId),
    keepAlive: (id, progress, requestId) => post(`/id:${id}?~action=keep-alive`, { progress }, requestId),
    async progress(id) {
      const response = await fetch(`${sessions}/id:${id}`);
      return ((await response.json()) as { value: { client_progress: number } }).value.client_progress;
    },
    [Symbol.dispose]: () => {},
  };
}

test("answers are sent at once to an HTTP/1.1 client that keeps its connection open", async () => {
  const median = async (agent: Agent | false) => {
    const times: number[] = [];
    for (let call = 0; call < 15; call++) {
      const begun = performance.now();
      const [response] = await once(get(`${haproxy.url}/readyz`, { agent }), "response");
      await response.resume().toArray();
      times.push(performance.now() - begun);
    }
    return times.sort((left, right) => left - right)[7]!;
  };
  const agent = new Agent({ keepAlive: true });
  const [kept, fresh] = [await median(agent), await median(false)];
  agent.destroy();
  // Without `option http-no-delay` it is 200 ms more; a busy machine slows both down.
  expect(kept).toBeLessThan(10 * fresh + 100);
});

const logged = (replica: Service, requestId: string) =>
  replica.logs.some((line) => JSON.stringify(line).includes(requestId));

describe.each(Object.entries(openers))("two replicas behind HAProxy, over %s", (_, open) => {
  test("a session of one replica is kept alive through the other", async () => {
    using one = open(first.url);
    using other = open(second.url);
    const id = await one.create(randomUUID());
    await other.keepAlive(id, 40, randomUUID());
    expect(await one.progress(id)).toBe(40);
  });

  test("HAProxy's one port reaches both", async () => {
    using sessions = open(haproxy.url);
    const created = randomUUID();
    const id = await sessions.create(created);
    const [other] = await eventually("the log of the creation", () =>
      [[second, first] as const, [first, second] as const].find(([, creator]) => logged(creator, created)),
    );
    await eventually("a keep-alive through the other replica", async () => {
      const requestId = randomUUID();
      await sessions.keepAlive(id, 70, requestId);
      return eventually("its log", () => logged(other, requestId), { withinMs: 200 });
    });
    expect(await sessions.progress(id)).toBe(70);
  });
});

test.each(["HTTP/1.1", "HTTP/2"] as const)("replicas log the client of a call over %s", async (version) => {
  const [requestId, localAddress] = [randomUUID(), "127.0.0.7"];
  const headers = { "x-request-id": requestId, "x-forwarded-for": "6.6.6.6", forwarded: "for=6.6.6.6" };
  await download(version, `${haproxy.url}/api/content/library`, { headers, localAddress });
  const line = await eventually("the log of the call", () =>
    [...first.logs, ...second.logs].find((one) => one.requestId === requestId),
  );
  expect(line.peer).toBe(localAddress);
});

test("a replica that is stopped under load loses no call", async () => {
  const loops = Object.values(openers).flatMap((open) => Array.from({ length: 8 }, () => open(haproxy.url)));
  const failures: string[] = [];
  let calls = 0;
  let loaded = true;
  const load = loops.map(async (sessions) => {
    const id = await sessions.create(randomUUID());
    for (let progress = 0; loaded; progress = Math.min(progress + 1, 100)) {
      await sessions.keepAlive(id, progress, randomUUID()).catch((error) => failures.push(String(error)));
      calls++;
    }
  });
  const moreCalls = async (count: number) => {
    const target = calls + count;
    await eventually(`${count} more calls`, () => calls >= target);
  };

  await moreCalls(200);
  const exit = await first.stop();
  await moreCalls(200);
  loaded = false;
  await Promise.all(load);
  for (const sessions of loops) sessions[Symbol.dispose]();

  expect(failures).toEqual([]);
  expect(exit).toEqual({ code: 0, signal: null });
});

test.each([
  ["Content-Length and Transfer-Encoding", (body: string) => `Content-Length: ${body.length}\r\n`],
  ["Transfer-Encoding and a Content-Length of less", () => "Content-Length: 4\r\n"],
])("HAProxy and a replica agree where a request ends that has %s", async (_, header) => {
  const path = "/com/vmware/content/library/item/download-session";
  const make = (headers: string, body: string) =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;
  const json = JSON.stringify({ create_spec: { library_item_id: item } });
  const hidden = make(`Content-Length: ${json.length}\r\n`, json);
  const count = async () =>
    ((await (await fetch(haproxy.url + path)).json()) as { value: string[] }).value.length;
  const before = await count();
  // By its chunks the request ends at once, and another one follows; by its length it does not.
  const body = `${json.length.toString(16)}\r\n${json}\r\n0\r\n\r\n`;
  using client = await rawConnection(haproxy.port);
  client.socket.write(make(`${header(body + hidden)}Transfer-Encoding: chunked\r\n`, body + hidden));
  client.socket.end();
  const answers = [...(await client.closed).matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);
  // The replica sees the requests that HAProxy sees, and no others.
  expect(answers.length).toBeGreaterThan(0);
  expect((await count()) - before).toBe(answers.filter((status) => status === "200").length);
});
