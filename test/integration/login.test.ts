import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request as requestTls } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { parseSetCookie } from "cookie";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../../gen/grpc/health/v1/health_pb.ts";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { loginHeader } from "../../src/calls/credentials.ts";
import { startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { loginClients } from "../support/login-clients.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const path = "/rest/com/vmware/cis/session";
const unknown = "0123456789abcdef".repeat(2);

const required = { type: "UNAUTHENTICATED", messageId: "downlease.authentication.required" };
const over = { type: "UNAUTHENTICATED", messageId: "downlease.authentication.expired" };

describe.each(storeKinds)("logging in, with %s", (store) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ store });
  });
  afterAll(() => app.stop());

  describe.each(Object.entries(loginClients))("%s", (_, open) => {
    test("opens a login session, shows it and closes it", async () => {
      const client = open(app.url);
      const from = Date.now();
      const id = await client.create();
      expect(id).toMatch(/^[0-9a-f]{32}$/);
      const login = await client.get(id);
      expect(login.user).toBe("anonymous");
      // Redis and this process have the same clock, but not to the millisecond.
      expect(login.createdAt).toBeGreaterThan(from - 1_000);
      expect(login.lastUsedAt).toBeGreaterThanOrEqual(login.createdAt);
      await client.delete(id);
      await expect(client.get(id)).rejects.toMatchObject(over);
      await expect(client.delete(id)).rejects.toMatchObject(over);
    });

    test("answers a call without a login session with an error that says to log in", async () => {
      const client = open(app.url);
      await expect(client.get(undefined)).rejects.toMatchObject(required);
      await expect(client.delete(undefined)).rejects.toMatchObject(required);
    });

    test("refuses texts of any form that are not the identifier of a login session", async () => {
      const client = open(app.url);
      const id = await client.create();
      for (const other of [unknown, "", id.toUpperCase(), `${id},${id}`, "x".repeat(4_000), "a b\tc", "é"]) {
        await expect(client.get(other), other.slice(0, 40)).rejects.toMatchObject(over);
        await expect(client.delete(other), other.slice(0, 40)).rejects.toMatchObject(over);
      }
      expect(await client.get(id)).toMatchObject({ user: "anonymous" });
    });
  });

  test("opens a login session that is valid on every other protocol", async () => {
    const clients = Object.values(loginClients).map((open) => open(app.url));
    const id = await clients[0]!.create();
    for (const client of clients) expect(await client.get(id)).toMatchObject({ user: "anonymous" });
    await clients.at(-1)!.delete(id);
    for (const client of clients) await expect(client.get(id)).rejects.toMatchObject(over);
  });

  test("takes the request as govmomi frames it: chunked, of JSON, and empty", async () => {
    using connection = await rawConnection(app.port);
    connection.socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YTpi\r\nvmware-use-header-authn: true\r\n` +
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    await connection.receives('"}');
    expect(connection.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(connection.received).toMatch(/\r\n\r\n\{"value":"[0-9a-f]{32}"\}$/);
    expect(connection.received.toLowerCase()).not.toContain("set-cookie");
  });
});

test.each(storeKinds)(
  "a login session opened at one replica is closed at another, with %s",
  async (store) => {
    await using directory = await tempDir();
    const place =
      store === "Redis"
        ? ["--redis-url", sharedRedisUrl()]
        : ["--sqlite-path", join(directory.path, "downlease.db")];
    await using one = await startService(place);
    await using other = await startService(place);
    const [here, there] = [loginClients.gRPC!(one.url), loginClients["/rest, JSON"]!(other.url)];
    const id = await here.create();
    const seen = await there.get(id);
    expect((await here.get(id)).createdAt).toBe(seen.createdAt);
    await there.delete(id);
    await eventually("the other replica to refuse it", () =>
      here.get(id).then(
        () => false,
        (error: unknown) => {
          expect(error).toMatchObject(over);
          return true;
        },
      ),
    );
  },
);

describe("the cookie", () => {
  let app: TestApp;
  let directory: TempDir;
  beforeAll(async () => {
    app = await startTestApp();
    directory = await tempDir();
  });
  afterAll(async () => {
    await app.stop();
    await directory.remove();
  });

  const call = (at: string, method: string, headers: Record<string, string> = {}) =>
    fetch(`${app.url}${at}`, { method, headers });
  const cookieOf = (response: Response) => {
    const [cookie, ...more] = response.headers.getSetCookie().map((text) => parseSetCookie(text));
    expect(more).toEqual([]);
    return cookie;
  };

  test.each([
    ["/rest", path],
    ["/", "/com/vmware/cis/session"],
    ["/rest", `${path}?~action=create`],
  ])("is for %s when the caller came by %s", async (cookiePath, at) => {
    const response = await call(at, "POST");
    const { value } = (await response.json()) as { value: string };
    expect(cookieOf(response)).toEqual({
      name: loginHeader,
      value,
      path: cookiePath,
      httpOnly: true,
      sameSite: "strict",
    });
  });

  test.each(["", " "])("is set when vmware-use-header-authn is '%s', and counts in quotes", async (value) => {
    const response = await call(path, "POST", { "vmware-use-header-authn": value });
    const id = cookieOf(response)?.value;
    for (const quote of ["", "'", '"']) {
      const cookie = `${loginHeader}=${quote}${id}${quote}`;
      expect((await call(`${path}?~action=get`, "POST", { cookie })).status).toBe(200);
    }
  });

  test.each(["true", "false", "test"])("is not set when vmware-use-header-authn is '%s'", async (value) => {
    const response = await call(path, "POST", { "vmware-use-header-authn": value });
    expect(response.status).toBe(200);
    expect(cookieOf(response)).toBeUndefined();
  });

  test("is a credential, and gives way to the header", async () => {
    const { value } = cookieOf(await call(path, "POST"))!;
    const cookie = `other=1; ${loginHeader}=${value}; another="2"`;
    expect((await call(`${path}?~action=get`, "POST", { cookie })).status).toBe(200);
    const both = { cookie, [loginHeader]: unknown };
    expect((await call(`${path}?~action=get`, "POST", both)).status).toBe(401);
  });

  test("is removed when the login session is closed", async () => {
    const { value } = cookieOf(await call(path, "POST"))!;
    const cookie = `${loginHeader}=${value}`;
    const closed = await call(path, "DELETE", { cookie });
    expect(closed.status).toBe(200);
    expect(cookieOf(closed)).toMatchObject({ name: loginHeader, value: "", path: "/rest", maxAge: 0 });
    const again = await call(path, "DELETE", { cookie });
    expect(again.status).toBe(401);
    expect(cookieOf(again)).toBeUndefined();
  });

  test("comes with no other answer", async () => {
    const { value } = cookieOf(await call(path, "POST"))!;
    const headers = { [loginHeader]: value! };
    for (const [at, method] of [
      [`${path}?~action=get`, "POST"],
      ["/rest/com/vmware/content/library/item/download-session", "GET"],
      [`${path}?~action=nothing`, "POST"],
    ] as const) {
      expect(cookieOf(await call(at, method, headers)), at).toBeUndefined();
    }
  });

  test("is for encrypted connections only when it came by one", async () => {
    const [cert, key] = [join(directory.path, "cert.pem"), join(directory.path, "key.pem")];
    const made = ["-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-newkey", "ec"];
    const curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1"];
    await promisify(execFile)("openssl", ["req", "-x509", "-nodes", "-days", "1", ...made, ...curve]);
    await using service = await startService(["--tls-cert", cert, "--tls-key", key]);
    const ca = await readFile(cert);
    const sent = requestTls(`${service.url}${path}`, { method: "POST", ca, servername: "localhost" });
    const [response] = (await once(sent.end(), "response")) as [IncomingMessage];
    response.resume();
    expect(response.headers["set-cookie"]?.map((text) => parseSetCookie(text))).toMatchObject([
      { name: loginHeader, path: "/rest", secure: true },
    ]);
  });
});

test("no identifier of a login session gets into a log, a metric or an error", async () => {
  await using service = await startService(["--log-level", "debug", "--redis-url", sharedRedisUrl()]);
  const client = loginClients["/rest, JSON"]!(service.url);
  const ids = [await client.create(), await loginClients.gRPC!(service.url).create(), unknown];
  const answers: string[] = [];
  for (const id of ids) {
    for (const at of [path, `${path}?~action=get`, "/nowhere", "/rest/com/vmware/content/library/item/x"]) {
      for (const [method, headers] of [
        ["POST", { [loginHeader]: id, "content-type": "text/plain" }],
        ["GET", { cookie: `${loginHeader}=${id}` }],
        ["DELETE", { [loginHeader]: id }],
      ] as const) {
        const response = await fetch(`${service.url}${at}`, { method, headers: { ...headers } });
        answers.push(await response.text());
      }
    }
  }
  const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
  expect(metrics).toContain('operation="Session.Create"');
  expect(metrics).toContain('script="findLogin-1"');
  await eventually("the log of the calls", () =>
    service.logs.some(({ operation, outcome }) => operation === "Session.Delete" && outcome === "ok"),
  );
  const output = [metrics, JSON.stringify(service.logs), ...answers].join("\n");
  for (const id of ids) expect(output).not.toContain(id);
});

test("health and reflection know the service", async () => {
  const app = await startTestApp();
  try {
    const transport = createGrpcTransport({ baseUrl: app.url });
    const { typeName: service } = SessionService;
    const { status } = await createClient(Health, transport).check({ service });
    expect(status).toBe(HealthCheckResponse_ServingStatus.SERVING);
    const question = create(ServerReflectionRequestSchema, {
      messageRequest: { case: "listServices", value: "" },
    });
    const answers = createClient(ServerReflection, transport).serverReflectionInfo(
      (async function* () {
        yield question;
      })(),
    );
    const listed: unknown[] = [];
    for await (const { messageResponse } of answers) listed.push(messageResponse.value);
    expect(listed).toMatchObject([
      { service: expect.arrayContaining([expect.objectContaining({ name: service })]) },
    ]);
  } finally {
    await app.stop();
  }
});
