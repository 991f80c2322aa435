import { connect } from "node:http2";
import { afterEach, beforeEach, expect, test } from "vitest";
import { firstOf, type ProtocolHandler } from "../../src/calls/protocol-handler.ts";
import { adminHandler } from "../../src/server/admin.ts";
import { Server } from "../../src/server/server.ts";
import { Health } from "../../src/telemetry/health.ts";

let health: Health;
let metrics: () => Promise<{ contentType: string; body: string }>;
let server: Server;
let url: string;

const next: ProtocolHandler = {
  name: "next",
  headers: { request: [], response: [] },
  takes: () => true,
  serve(request, response) {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end(`next got ${request.method} ${request.url}`);
  },
};

beforeEach(async () => {
  health = new Health(["a.v1.Service"]);
  metrics = async () => ({ contentType: "text/plain; version=0.0.4", body: "answers 42\n" });
  server = new Server({
    ...firstOf([adminHandler({ health, metrics: () => metrics() }), next]),
    host: "127.0.0.1",
    port: 0,
  });
  url = `http://127.0.0.1:${(await server.listen()).port}`;
});

afterEach(() => server.close(AbortSignal.abort()));

async function jsonOf(path: string): Promise<[status: number, body: unknown]> {
  const response = await fetch(url + path);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("cache-control")).toBe("no-store");
  return [response.status, await response.json()];
}

test("/healthz answers whether or not the service is ready", async () => {
  expect(await jsonOf("/healthz")).toEqual([200, { status: "alive" }]);
  health.set("SERVING");
  expect(await jsonOf("/healthz")).toEqual([200, { status: "alive" }]);
});

test("/readyz follows the health", async () => {
  const body = (status: string) => ({ status, services: { "a.v1.Service": status } });
  expect(await jsonOf("/readyz")).toEqual([503, body("NOT_SERVING")]);
  health.set("SERVING");
  expect(await jsonOf("/readyz?verbose")).toEqual([200, body("SERVING")]);
  health.set("NOT_SERVING");
  expect(await jsonOf("/readyz")).toEqual([503, body("NOT_SERVING")]);
});

test("/metrics gives what the registry gives", async () => {
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4");
  expect(await response.text()).toBe("answers 42\n");
});

test("metrics that can't be gathered are a 500 without details", async () => {
  metrics = () => Promise.reject(new Error("secret"));
  expect(await jsonOf("/metrics")).toEqual([500, { status: "failed" }]);
});

test("HEAD answers without a body", async () => {
  const response = await fetch(`${url}/healthz`, { method: "HEAD" });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-length")).toBe("18");
  expect(await response.text()).toBe("");
});

test.each(["/healthz", "/readyz", "/metrics"])("POST %s is 405, its body ignored", async (path) => {
  const response = await fetch(url + path, { method: "POST", body: "x".repeat(100_000) });
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe("GET, HEAD");
});

test.each(["/", "/healthz/", "/healthzz", "/a?path=/healthz"])(
  "%s goes to the next handler",
  async (path) => {
    const response = await fetch(url + path, { method: "PUT" });
    expect(response.status).toBe(404);
    expect(await response.text()).toBe(`next got PUT ${path}`);
  },
);

test("it answers over HTTP/2, too", async () => {
  const session = connect(url);
  for (const method of ["GET", "HEAD"]) {
    const request = session.request({ ":path": "/healthz", ":method": method });
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    expect(body).toBe(method === "GET" ? '{"status":"alive"}' : "");
  }
  session.destroy();
});
