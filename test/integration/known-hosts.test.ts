import { connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { grpcJsCall, grpcJsClient, loadInterface } from "../support/grpc-js.ts";
import { linkTo } from "../support/links.ts";
import { answered } from "../support/raw-http.ts";
import { answerOf, envelope } from "../support/raw-rpc.ts";
import { openSession } from "../support/session-files.ts";

const service = "content.library.item.v1.DownloadSessionService";
const json = "application/json";
const evil = "evil.example:8080";

interface Sent {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly type?: string;
  readonly body?: string | Buffer;
}

/** A request of every protocol that would be served if its host were known. */
const requests: Record<string, (link: string) => Sent> = {
  "REST, /api": () => ({ method: "GET", path: "/api/content/library" }),
  "REST, /rest": () => ({ method: "GET", path: "/rest/com/vmware/content/library" }),
  "REST, 2014": () => ({
    method: "POST",
    path: "/com/vmware/content/library/item/download-session?~action=list",
  }),
  "JSON-RPC": () => ({ method: "POST", path: "/api", type: json, body: '{"jsonrpc":"2.0"}' }),
  Connect: () => ({ method: "POST", path: `/${service}/List`, type: json, body: "{}" }),
  "gRPC-Web": () => ({
    ...{ method: "POST", path: `/${service}/List`, type: "application/grpc-web+proto" },
    body: envelope(new Uint8Array()),
  }),
  gRPC: () => ({
    ...{ method: "POST", path: `/${service}/List`, type: "application/grpc" },
    body: envelope(new Uint8Array()),
  }),
  "a stream": () => ({ method: "POST", path: `/${service}/KeepAliveStream`, type: "application/grpc" }),
  "health over gRPC": () => ({
    method: "POST",
    path: "/grpc.health.v1.Health/Check",
    type: "application/grpc",
  }),
  "a download": (link) => ({ method: "GET", path: link }),
  "an unknown path": () => ({ method: "GET", path: "/nowhere" }),
};

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

async function overHttp2(url: string, authority: string, sent: Sent): Promise<Answer> {
  const { method, path, type, body = "" } = sent;
  const session = connect(url);
  try {
    const own = type === undefined ? {} : { "content-type": type, te: "trailers" };
    const head = { ":method": method, ":path": path, ":authority": authority, ...own };
    const answer = await answerOf(session.request(head, { endStream: false }), [Buffer.from(body)]);
    return { status: answer.httpStatus, headers: answer.headers, text: answer.body.toString() };
  } finally {
    session.destroy();
  }
}

async function overHttp1(url: string, host: string, sent: Sent): Promise<Answer> {
  const { method, path, type = "text/plain", body = "" } = sent;
  const own = `Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${own}\r\n`;
  const answer = await answered(url, head + body);
  const [lines = "", ...rest] = answer.split("\r\n\r\n");
  const [first = "", ...headers] = lines.split("\r\n");
  const pairs = headers.map((line) => line.toLowerCase().split(": "));
  return {
    status: Number(first.split(" ")[1]),
    headers: Object.fromEntries(pairs),
    text: rest.join("\r\n\r\n"),
  };
}

const versions = { "HTTP/1.1": overHttp1, "HTTP/2": overHttp2 };

describe.each([true, false])("while nobody has to log in, fast lane: %s,", (fastLane) => {
  let app: TestApp;
  let link: string;
  beforeAll(async () => {
    app = await startTestApp({ fastLane, settings: { allowedHosts: "portal.example" } });
    const id = await openSession(app.url, await app.addItem());
    link = (await linkTo(app.url, id, "disk.bin")).slice(app.url.length);
  });
  afterAll(() => app.stop());

  describe.each(Object.keys(versions) as (keyof typeof versions)[])("over %s", (version) => {
    const send = versions[version];

    test.each(Object.keys(requests))("%s gets 421 for an unknown host, not for known ones", async (name) => {
      const sent = requests[name]!(link);
      const answer = await send(app.url, evil, sent);
      expect(answer.status).toBe(421);
      const message = /names a host .*DOWNLEASE_ALLOWED_HOSTS/i;
      if (sent.type?.startsWith("application/grpc") === true) {
        expect(answer.headers["grpc-status"]).toBe("7");
        expect(decodeURIComponent(String(answer.headers["grpc-message"]))).toMatch(message);
      }
      if (sent.type !== "application/grpc") {
        const body = JSON.parse(answer.text);
        expect(body).toMatchObject({ code: "permission_denied", error_type: "UNAUTHORIZED" });
        expect(body.message).toMatch(message);
        expect(body.messages[0].default_message).toBe(body.message);
      }
      for (const host of ["localhost", `127.0.0.1:${app.port}`, "portal.example"])
        expect((await send(app.url, host, sent)).status, host).not.toBe(421);
    });
  });

  test("a client of gRPC gets the message", async () => {
    const options = { "grpc.default_authority": evil, "grpc.use_local_subchannel_pool": 1 };
    const client = grpcJsClient(loadInterface(), service, app.url, options);
    const { code, details } = await grpcJsCall(client, "List", {});
    client.close();
    expect([code, details]).toEqual([7, expect.stringContaining("--allowed-hosts")]);
  });

  test("they are counted, and nothing is done for them", async () => {
    const refused = () => app.metric("downlease_requests_total");
    const before = await refused();
    const itemId = await app.addItem();
    const body = JSON.stringify({ library_item_id: itemId });
    const path = "/api/content/library/item/download-session";
    const sent = { method: "POST", path, type: json, body } as const;
    expect((await overHttp1(app.url, evil, sent)).status).toBe(421);
    expect(await refused()).toBe(before + 1);
    const listed = await fetch(`${app.url}${path}?library_item_id=${itemId}`);
    expect(await listed.json()).toEqual([]);
  });
});

test("callers that have to log in may use any name", async () => {
  const app = await startTestApp({
    settings: { jwtJwks: "https://127.0.0.1:1/", jwtIssuer: "i", jwtAudience: "a" },
  });
  try {
    const sent = requests["REST, /api"]!("");
    expect((await overHttp1(app.url, evil, sent)).status).toBe(401);
    expect((await overHttp2(app.url, evil, sent)).status).toBe(401);
  } finally {
    await app.stop();
  }
});
