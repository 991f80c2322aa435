import { connect } from "node:http2";
import { createServer } from "node:net";
import { Writable } from "node:stream";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import packageFacts from "../../package.json" with { type: "json" };
import { openAdmin } from "../../src/app/admin.ts";
import { readConfig } from "../../src/app/config.ts";
import { firstOf, type ProtocolHandler } from "../../src/calls/protocol-handler.ts";
import { healthHandler, metricsElsewhere } from "../../src/server/admin.ts";
import { Server } from "../../src/server/server.ts";
import { Health } from "../../src/telemetry/health.ts";
import { answered } from "../support/raw-http.ts";

let health: Health;
beforeEach(() => {
  health = new Health(["a.v1.Service"]);
});

let computations = 0;
let metrics: () => Promise<{ contentType: string; body: string }>;
beforeEach(() => {
  computations = 0;
  metrics = async () => ({ contentType: "text/plain; version=0.0.4", body: `answers ${++computations}\n` });
});

let lines: string[] = [];

function adminOf(flags: Parameters<typeof readConfig>[0]) {
  lines = [];
  const output = new Writable({
    write(line, _, done) {
      lines.push(String(line));
      done();
    },
  });
  const config = readConfig({ contentRoot: "library", ...flags }, {});
  return openAdmin(config, { readiness: health, metrics: { expose: () => metrics() }, log: pino(output) });
}

const next: ProtocolHandler = {
  name: "next",
  headers: { request: [], response: [] },
  takes: () => true,
  serve(request, response) {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end(`next got ${request.method} ${request.url}`);
  },
};

/** Where health is: the address of the service, which is more than that, and the admin address. */
const addresses = {
  async service() {
    const server = new Server({
      ...firstOf([healthHandler(health), metricsElsewhere(), next]),
      host: "127.0.0.1",
      port: 0,
    });
    await server.listen();
    return { url: server.url, [Symbol.asyncDispose]: () => server.close(AbortSignal.abort()) };
  },
  admin: () => adminOf({ adminListen: "127.0.0.1:0" }),
};

let opened: AsyncDisposable & { readonly url: string | undefined };
afterEach(() => opened[Symbol.asyncDispose]());

async function jsonOf(path: string): Promise<[status: number, body: unknown]> {
  const response = await fetch(opened.url + path);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("cache-control")).toBe("no-store");
  return [response.status, await response.json()];
}

describe.each(Object.keys(addresses) as (keyof typeof addresses)[])("on the address of %s", (name) => {
  beforeEach(async () => {
    opened = await addresses[name]();
  });

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

  test("HEAD answers without a body", async () => {
    const response = await fetch(`${opened.url}/healthz`, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe("18");
    expect(await response.text()).toBe("");
  });

  test.each(["/healthz", "/readyz", "/metrics"])("POST %s is 405, its body ignored", async (path) => {
    const response = await fetch(opened.url + path, { method: "POST", body: "x".repeat(100_000) });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("GET, HEAD");
  });

  test("it answers over HTTP/2, too", async () => {
    const session = connect(opened.url!);
    for (const method of ["GET", "HEAD"]) {
      const request = session.request({ ":path": "/healthz", ":method": method });
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) body += chunk;
      expect(body).toBe(method === "GET" ? '{"status":"alive"}' : "");
    }
    session.destroy();
  });

  test("health is for any host, so that checks of balancers may name what they like", async () => {
    const request = (path: string) =>
      `GET ${path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`;
    expect(await answered(opened.url!, request("/healthz"))).toMatch(/^HTTP\/1.1 200 /);
    expect(await answered(opened.url!, request("/readyz"))).toMatch(/^HTTP\/1.1 503 /);
  });
});

describe("the address of the service", () => {
  beforeEach(async () => {
    opened = await addresses.service();
  });

  test("has no metrics, and says where they are", async () => {
    const message = expect.stringContaining("--admin-listen");
    expect(await jsonOf("/metrics")).toEqual([404, { status: "not found", message }]);
    expect(computations).toBe(0);
  });

  test.each(["/", "/version", "/healthz/", "/healthzz", "/a?path=/healthz", "/metrics/"])(
    "%s goes to the next handler",
    async (path) => {
      const response = await fetch(opened.url + path, { method: "PUT" });
      expect(response.status).toBe(404);
      expect(await response.text()).toBe(`next got PUT ${path}`);
    },
  );
});

describe("the admin address", () => {
  beforeEach(async () => {
    opened = await addresses.admin();
  });

  test("/metrics gives what the registry gives, computed once for all who request it within a second", async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(`${opened.url}/metrics`)));
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(answers[0]?.headers.get("content-type")).toBe("text/plain; version=0.0.4");
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    expect(bodies).toContain("answers 1\n");
    // A second one where the machine took longer than a second.
    expect(computations).toBeLessThanOrEqual(2);
  });

  test("metrics that can't be gathered are a 500 without details", async () => {
    metrics = () => Promise.reject(new Error("secret"));
    expect(await jsonOf("/metrics")).toEqual([500, { status: "failed" }]);
  });

  test("/version says which release of the program and of Node.js answers", async () => {
    const { version } = packageFacts;
    const { platform, arch } = process;
    const facts = { name: "downlease", version, node: process.version, platform, arch };
    expect(await jsonOf("/version")).toEqual([200, facts]);
  });

  test("anything else is 404", async () => {
    expect(await jsonOf("/api/content/library")).toMatchObject([404, { status: "not found" }]);
  });

  test.each(["/metrics", "/version"])("a host that is not known does not get %s", async (path) => {
    const request = `GET ${path} HTTP/1.1\r\nHost: evil.example:9480\r\nConnection: close\r\n\r\n`;
    const answer = await answered(opened.url!, request);
    expect(answer).toMatch(/^HTTP\/1.1 421 Misdirected Request\r\n/);
    expect(answer).toContain("DOWNLEASE_ALLOWED_HOSTS");
  });
});

describe("an admin address that is in use", () => {
  const taken = createServer();
  beforeEach(async () => {
    opened = { url: undefined, async [Symbol.asyncDispose]() {} };
    await new Promise<void>((resolve) => {
      taken.once("error", () => resolve()).listen(9480, "127.0.0.1", resolve);
    });
  });
  afterEach(() => void taken.close());

  test("keeps the service from starting when it was chosen", async () => {
    const message = /--admin-listen.*address already in use/;
    await expect(adminOf({ adminListen: "127.0.0.1:9480" })).rejects.toThrow(message);
  });

  test("is done without, with a warning, when it is the default", async () => {
    opened = await adminOf({});
    expect(opened.url).toBeUndefined();
    expect(JSON.parse(lines.join())).toMatchObject({
      level: 40,
      reason: expect.stringContaining("127.0.0.1:9480"),
      msg: expect.stringContaining("--admin-listen"),
    });
  });

  test("does not matter when there is none", async () => {
    opened = await adminOf({ adminListen: "off" });
    expect([opened.url, lines]).toEqual([undefined, []]);
  });
});
