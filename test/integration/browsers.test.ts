import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:http2";
import { request as httpsRequest } from "node:https";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { answerOf, envelope } from "../support/raw-rpc.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const rpcPath = "/content.library.item.v1.DownloadSessionService";
const restPath = "/rest/com/vmware/content/library/item/download-session";
const portal = "https://portal.example";

interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

type Send = (url: string, sent: Sent) => Promise<Answer>;

/** `fetch` does not let its caller set `Origin`, as a browser does. */
function overHttp1(
  url: string,
  { method = "POST", path, headers, body = "" }: Sent,
  ca?: Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const begin = ca === undefined ? httpRequest : httpsRequest;
    const options = { method, headers: { ...headers, "content-length": body.length }, agent: false, ca };
    begin(url + path, options, (response) => {
      response
        .resume()
        .once("end", () => resolve({ status: response.statusCode!, headers: response.headers }));
    })
      .once("error", reject)
      .end(body);
  });
}

async function overHttp2(url: string, { method = "POST", path, headers, body = "" }: Sent): Promise<Answer> {
  const session = connect(url);
  try {
    const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: false });
    const answer = await answerOf(stream, [Buffer.from(body)]);
    return { status: answer.httpStatus, headers: answer.headers as IncomingHttpHeaders };
  } finally {
    session.destroy();
  }
}

const versions: Record<string, Send> = { "HTTP/1.1": overHttp1, "HTTP/2": overHttp2 };

/** One request for each way through the service that ends with a body. */
const pages: Record<string, Sent> = {
  "REST, a result": { method: "GET", path: restPath },
  "REST, an error in XML": {
    method: "GET",
    path: `${restPath}/id:x`,
    headers: { accept: "application/xml" },
  },
  "REST, an unknown path": { method: "GET", path: "/nothing" },
  "/healthz": { method: "GET", path: "/healthz" },
  "/metrics, which is elsewhere": { method: "GET", path: "/metrics" },
  "/readyz, with a method that it does not have": { path: "/readyz" },
};

const json = { "content-type": "application/json" };
const rpcs: Record<string, Sent> = {
  "Connect, a result": { path: `${rpcPath}/List`, headers: json, body: "{}" },
  "Connect, an error": { path: `${rpcPath}/Get`, headers: json, body: '{"downloadSessionId":"x"}' },
  "Connect, a body that can't be read": { path: `${rpcPath}/Get`, headers: json, body: "{" },
  "Connect, an unknown method": { path: `${rpcPath}/Nothing`, headers: json, body: "{}" },
  "gRPC-Web": {
    path: `${rpcPath}/List`,
    headers: { "content-type": "application/grpc-web+proto" },
    body: envelope(new Uint8Array()),
  },
};

const pageHeaders = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};

const protective = [...Object.keys(pageHeaders), "strict-transport-security"];
const ofCors = ({ headers }: Answer) =>
  Object.keys(headers).filter((name) => /^access-control-|^vary$/.test(name));
const isProtective = ({ headers }: Answer) => protective.filter((name) => name in headers);

async function createSession(app: TestApp): Promise<string> {
  const body = JSON.stringify({ create_spec: { library_item_id: await app.addItem() } });
  const response = await fetch(app.url + restPath, { method: "POST", headers: json, body });
  return ((await response.json()) as { value: string }).value;
}

describe("without any origin configured", () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp();
  });
  afterAll(() => app.stop());

  describe.each(Object.keys(versions))("over %s", (version) => {
    const send = versions[version]!;

    test.each(Object.keys(pages))("%s can't be sniffed, framed, run or loaded elsewhere", async (name) => {
      const { headers } = await send(app.url, pages[name]!);
      expect(headers).toMatchObject({ ...pageHeaders, "cache-control": "no-store" });
      expect(headers).not.toHaveProperty("strict-transport-security");
    });

    test.each(Object.keys(rpcs))("%s can't be sniffed", async (name) => {
      expect(isProtective(await send(app.url, rpcs[name]!))).toEqual(["x-content-type-options"]);
    });

    test("a keep-alive has no body, and no header to protect it", async () => {
      const path = `${restPath}/id:${await createSession(app)}?~action=keep-alive`;
      const answer = await send(app.url, { path });
      expect(answer.status).toBe(200);
      expect(isProtective(answer)).toEqual([]);
    });

    test.each(Object.entries({ ...pages, ...rpcs }))("%s does not speak of origins", async (_, sent) => {
      const headers = { ...sent.headers, origin: portal };
      expect(ofCors(await send(app.url, { ...sent, headers }))).toEqual([]);
    });

    test.each([restPath, `${rpcPath}/KeepAlive`, "/healthz"])(
      "a preflight for %s is refused",
      async (path) => {
        const headers = { origin: portal, "access-control-request-method": "POST" };
        const answer = await send(app.url, { method: "OPTIONS", path, headers });
        expect([404, 405]).toContain(answer.status);
        expect(ofCors(answer)).toEqual([]);
      },
    );
  });

  test("gRPC answers have no headers for browsers", async () => {
    const answer = await overHttp2(app.url, {
      path: `${rpcPath}/List`,
      headers: { "content-type": "application/grpc", te: "trailers" },
      body: envelope(new Uint8Array()),
    });
    expect(answer.status).toBe(200);
    expect(isProtective(answer)).toEqual([]);
  });
});

describe.each([true, false])("with origins configured, fast lane: %s,", (fastLane) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ corsOrigins: `${portal},http://localhost:5173`, fastLane });
  });
  afterAll(() => app.stop());

  describe.each(Object.keys(versions))("over %s", (version) => {
    const send = versions[version]!;
    const all = { ...pages, ...rpcs };
    const behindCors = Object.keys(all).filter((name) => !name.startsWith("/"));

    test.each([restPath, `${rpcPath}/KeepAlive`, "/api/session", "/anything"])(
      "a preflight for %s is answered",
      async (path) => {
        const { status, headers } = await send(app.url, {
          method: "OPTIONS",
          path,
          headers: {
            origin: "http://localhost:5173",
            "access-control-request-method": "DELETE",
            "access-control-request-headers": "authorization",
          },
        });
        expect(status).toBe(204);
        expect(headers).toMatchObject({
          "access-control-allow-origin": "http://localhost:5173",
          "access-control-allow-methods": "GET,POST,PUT,PATCH,DELETE",
          "access-control-max-age": "7200",
          vary: "Origin",
        });
        const allowed = headers["access-control-allow-headers"]!.toLowerCase().split(",");
        for (const name of ["authorization", "vmware-api-session-id", "client-token", "x-request-id"])
          expect(allowed).toContain(name);
        for (const name of ["traceparent", "tracestate", "baggage"]) expect(allowed).toContain(name);
        for (const name of ["content-type", "connect-protocol-version", "x-grpc-web", "grpc-timeout"])
          expect(allowed).toContain(name);
        expect(headers).not.toHaveProperty("access-control-allow-credentials");
      },
    );

    test.each(behindCors)("%s may be read by a page of such an origin", async (name) => {
      const sent = all[name]!;
      const plain = await send(app.url, sent);
      const answer = await send(app.url, { ...sent, headers: { ...sent.headers, origin: portal } });
      expect(answer.status).toBe(plain.status);
      expect(answer.headers["access-control-allow-origin"]).toBe(portal);
      expect(answer.headers.vary).toBe("Origin");
      const exposed = answer.headers["access-control-expose-headers"]!.toLowerCase().split(",");
      for (const header of ["grpc-status", "grpc-message", "grpc-status-details-bin"])
        expect(exposed).toContain(header);
      for (const header of ["x-request-id", "retry-after", "www-authenticate"])
        expect(exposed).toContain(header);
      expect(answer.headers).not.toHaveProperty("access-control-allow-credentials");
      expect(isProtective(answer)).toEqual(isProtective(plain));
    });

    test.each(behindCors)(
      "%s is served to pages of other origins without the headers that let them read it",
      async (name) => {
        const sent = all[name]!;
        const { status } = await send(app.url, sent);
        for (const origin of [
          "https://evil.example",
          "null",
          `${portal}.evil.example`,
          "HTTPS://PORTAL.EXAMPLE",
          "",
        ]) {
          const answer = await send(app.url, { ...sent, headers: { ...sent.headers, origin } });
          expect([answer.status, ...ofCors(answer)]).toEqual([status]);
        }
      },
    );

    test("an answer to a request without Origin has no CORS headers", async () => {
      for (const sent of Object.values(all)) expect(ofCors(await send(app.url, sent))).toEqual([]);
    });

    test("no page may read the admin paths", async () => {
      for (const method of ["GET", "OPTIONS"]) {
        const sent = { method, path: "/metrics", headers: { origin: portal } };
        expect(ofCors(await send(app.url, sent))).toEqual([]);
      }
    });

    test("a preflight of another origin is refused", async () => {
      const headers = { origin: "https://evil.example", "access-control-request-method": "POST" };
      const answer = await send(app.url, { method: "OPTIONS", path: restPath, headers });
      expect([answer.status, ...ofCors(answer)]).toEqual([404]);
    });

    test("a preflight with a body does not block its connection", async () => {
      const headers = { origin: portal, "access-control-request-method": "POST" };
      const body = Buffer.alloc(100_000);
      expect((await send(app.url, { method: "OPTIONS", path: restPath, headers, body })).status).toBe(204);
    });
  });
});

describe("with TLS", () => {
  let directory: TempDir;
  let app: TestApp;
  let ca: Buffer;
  beforeAll(async () => {
    directory = await tempDir();
    const [cert, key] = [`${directory.path}/cert.pem`, `${directory.path}/key.pem`];
    await promisify(execFile)("openssl", [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(
        " ",
      ),
      ...["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
    ]);
    ca = await readFile(cert);
    app = await startTestApp({ tls: { cert, key } });
  });
  afterAll(async () => {
    await app.stop();
    await directory.remove();
  });

  test.each(Object.keys(pages))("%s keeps browsers from coming back in clear text", async (name) => {
    const { headers } = await overHttp1(app.url, pages[name]!, ca);
    expect(headers).toMatchObject({ ...pageHeaders, "strict-transport-security": "max-age=31536000" });
  });
});
