import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { protocolClients } from "../support/protocol-clients.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { envelope, http1Client, http2Client, type RawAnswer } from "../support/raw-rpc.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";

/** Texts that must be in no log, no metric and no answer. */
const secrets: string[] = [];
/** Texts that answers to their sender may have, but no log and no metric: whole session ids, texts of callers. */
const privates: string[] = [];

const marked = (list: string[], text: string): string => {
  list.push(text);
  return text;
};
const secret = () => marked(secrets, `sEcReT${randomBytes(12).toString("hex")}`);
/** None of a session, which would be a UUID: a caller has put something else in its place. */
const sessionId = () => marked(privates, `no-${crypto.randomUUID()}`);

function basic(): string {
  const credentials = Buffer.from(`alice@example.test:${secret()}`).toString("base64");
  return `Basic ${marked(secrets, credentials)}`;
}

/** Every header that carries credentials, or looks as if it did. */
const credentials: Record<string, () => Record<string, string>> = {
  "a password": () => ({ authorization: basic() }),
  "a password that is no base64": () => ({ authorization: `Basic ${secret()}` }),
  "a bearer token": () => ({ authorization: `Bearer ${secret()}.${secret()}.${secret()}` }),
  "a SAML token": () => ({ authorization: `SIGN token="${secret()}", signature="${secret()}"` }),
  "an unknown scheme": () => ({ authorization: secret() }),
  "a login id": () => ({ "vmware-api-session-id": secret() }),
  "a login id in a cookie": () => ({ cookie: `a=${secret()}; vmware-api-session-id=${secret()}` }),
  "a login id in a broken cookie": () => ({ cookie: `vmware-api-session-id="%${secret()};;=${secret()}` }),
  "a proxy's password": () => ({ "proxy-authorization": basic() }),
};

const rpcPath = "/content.library.item.v1.DownloadSessionService";
const restPath = "/rest/com/vmware/content/library/item/download-session";
const json = { "content-type": "application/json" };

interface Sent {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array;
}

/** Requests, valid or not, by protocol; each is sent with every kind of credentials. */
const requests: Record<string, () => Sent> = {
  "REST, an unknown session": () => ({
    path: `${restPath}/id:${sessionId()}?~action=keep-alive`,
    headers: json,
    body: "{}",
  }),
  "REST, an unknown action": () => ({
    path: `${restPath}/id:${sessionId()}?~action=no`,
    headers: json,
    body: "{}",
  }),
  "REST, secrets in the query": () => ({
    path: `${restPath}?~action=list&password=${secret()}`,
    headers: json,
    body: "{}",
  }),
  "REST, an unknown path with secrets in the query": () => ({
    path: `/rest/${sessionId()}?vmware-api-session-id=${secret()}`,
    headers: json,
    body: "",
  }),
  "REST, secrets in JSON that is cut short": () => ({
    path: `${restPath}?~action=create`,
    headers: json,
    body: `{"client_token":"${secret()}`,
  }),
  "REST, secrets in what is no JSON": () => ({
    path: `${restPath}?~action=create`,
    headers: json,
    body: secret(),
  }),
  "REST, secrets next to what is no JSON": () => ({
    path: `${restPath}?~action=create`,
    headers: json,
    body: `{"a":"${marked(secrets, randomBytes(4).toString("hex"))}"!}`,
  }),
  "REST, a secret for a parameter": () => ({
    path: `${restPath}?~action=create`,
    headers: json,
    body: JSON.stringify({ client_token: secret(), create_spec: { library_item_id: "x" } }),
  }),
  "REST, secrets in a form": () => ({
    path: `${restPath}?~action=create`,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: `client_token=${secret()}&client_token=${secret()}`,
  }),
  "REST, secrets in XML": () => ({
    path: `${restPath}?~action=create`,
    headers: { "content-type": "application/xml" },
    body: `<Create-Input>${secret()}<client_token>${secret()}</Create-Input>`,
  }),
  "REST, secrets in a body of an unknown type": () => ({
    path: `${restPath}?~action=create`,
    headers: { "content-type": "text/plain" },
    body: secret(),
  }),
  "JSON-RPC, a login": () => ({
    path: "/api",
    headers: json,
    body: JSON.stringify({
      jsonrpc: "2.0",
      method: "invoke",
      id: "1",
      params: {
        serviceId: "com.vmware.cis.session",
        operationId: "create",
        input: { STRUCTURE: { "operation-input": {} } },
        ctx: {
          appCtx: {},
          securityCtx: {
            schemeId: "com.vmware.vapi.std.security.user_pass",
            userName: "alice@example.test",
            password: secret(),
          },
        },
      },
    }),
  }),
  "JSON-RPC, a session": () => ({
    path: "/api",
    headers: json,
    body: `{"jsonrpc":"2.0","params":{"ctx":{"securityCtx":{"schemeId":"com.vmware.vapi.std.security.session_id","sessionId":"${secret()}`,
  }),
  "Connect, an unknown session": () => ({
    path: `${rpcPath}/KeepAlive`,
    headers: json,
    body: JSON.stringify({ downloadSessionId: sessionId() }),
  }),
  "Connect, an unknown method": () => ({
    path: `${rpcPath}/${sessionId()}?password=${secret()}`,
    headers: json,
    body: "{}",
  }),
  "Connect, an unknown type": () => ({
    path: `${rpcPath}/Get`,
    headers: { "content-type": "text/plain" },
    body: secret(),
  }),
  "Connect, an unknown encoding": () => ({
    path: `${rpcPath}/Get`,
    headers: { ...json, "content-encoding": "zstd" },
    body: secret(),
  }),
  "gRPC-Web, what is no message": () => ({
    path: `${rpcPath}/Get`,
    headers: { "content-type": "application/grpc-web+proto" },
    body: envelope(Buffer.from(secret())),
  }),
  "an admin page": () => ({ path: `/metrics?token=${secret()}`, headers: json, body: "" }),
};

const grpcRequests: Record<string, () => Sent> = {
  "an unknown session": () => ({
    path: `${rpcPath}/Get`,
    headers: {},
    body: envelope(Buffer.from(`\x0a\x24${sessionId()}`, "latin1")),
  }),
  "what is no message": () => ({
    path: `${rpcPath}/Get`,
    headers: {},
    body: envelope(Buffer.from(secret())),
  }),
  "an unknown method": () => ({ path: `/a.B/${sessionId()}`, headers: {}, body: envelope(new Uint8Array()) }),
  "an odd header": () => ({ path: `${rpcPath}/Get`, headers: { "grpc-timeout": "1x" }, body: secret() }),
};

/** Requests that can't be read. */
const unreadable: Record<string, () => string> = {
  "a header without a name": () => `GET / HTTP/1.1\r\nHost: localhost\r\n: ${secret()}\r\n\r\n`,
  "a header with NUL": () => `GET / HTTP/1.1\r\nHost: localhost\r\nauthorization: ${secret()}\0\r\n\r\n`,
  "no request": () => `${secret()} ${secret()}\r\n\r\n`,
  "two lengths": () =>
    `POST /?${secret()} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n${secret()}`,
  "no request of HTTP/2": () => `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${secret()}${secret()}`,
  "a Host with a password": () =>
    `POST ${rpcPath}/Get HTTP/1.1\r\nHost: u:${secret()}@[\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  "an absolute target with a password": () =>
    `GET http://a/?${secret()} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
};

const textOf = ({ headers, body, trailers }: RawAnswer) =>
  `${JSON.stringify({ ...headers, ...trailers })}\n${body.toString("latin1")}`;

const occurring = (text: string, list: readonly string[]) => list.filter((one) => text.includes(one));

let redis: RedisServer;
let strangeRedis: RedisServer;
const services: Record<string, Service> = {};
const password = secret();

beforeAll(async () => {
  [redis, strangeRedis] = await Promise.all([
    startRedis(),
    startRedis({ args: ["--rename-command", "EVALSHA", ""] }),
  ]);
  const admin = new Redis(redis.url);
  await admin.config("SET", "requirepass", password);
  admin.disconnect();
  const address = redis.url.replace("redis://", "");
  const trace = ["--log-level", "trace"];
  const [onRedis, onSqlite, denied, broken] = await Promise.all([
    startService([...trace, "--redis-url", `redis://:${password}@${address}`]),
    startService([...trace, "--fast-lane", "off"]),
    startService([...trace, "--redis-url", `redis://:${secret()}@${address}`]),
    startService([...trace, "--redis-url", strangeRedis.url]),
  ]);
  Object.assign(services, {
    "with Redis": onRedis,
    "with SQLite, without the fast lane": onSqlite,
    "with a Redis that denies it": denied,
    "with a Redis that does not know its commands": broken,
  });
});

afterAll(async () => {
  await Promise.all(Object.values(services).map((service) => service.kill()));
  await Promise.all([redis.stop(), strangeRedis.stop()]);
});

const serviceNames = [
  "with Redis",
  "with SQLite, without the fast lane",
  "with a Redis that denies it",
  "with a Redis that does not know its commands",
];

describe.each(serviceNames)("a service %s", (name) => {
  const answers: string[] = [];
  const service = () => services[name]!;

  test.each(Object.keys(protocolClients))("serves a session: %s", async (protocol) => {
    const client = protocolClients[protocol]!(service().url);
    const item = "5a0f6c1e-0000-4000-8000-000000000000";
    const calls = [
      () => client.create(item),
      () => client.get(sessionId()),
      () => client.list(),
      () => client.keepAlive(sessionId(), 5),
      () => client.cancel(sessionId()),
      () => client.fail(sessionId(), marked(privates, `it failed ${secret()}`)),
      () => client.delete(sessionId()),
    ];
    for (const call of calls) answers.push(await call().then(String, String));
  });

  describe.each(Object.keys(credentials))("is shown %s", (kind) => {
    test.each(Object.keys(requests))("%s", async (request) => {
      for (const open of [http1Client, http2Client]) {
        using client = open(service().url);
        const { path, headers, body } = requests[request]!();
        const sent = { ...headers, ...credentials[kind]!() };
        answers.push(textOf(await client.send({ method: path, headers: sent, body: [Buffer.from(body)] })));
      }
    });

    test.each(Object.keys(grpcRequests))("gRPC, %s", async (request) => {
      using client = http2Client(service().url);
      const { path, headers, body } = grpcRequests[request]!();
      const sent = {
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
        ...credentials[kind]!(),
      };
      answers.push(textOf(await client.send({ method: path, headers: sent, body: [Buffer.from(body)] })));
    });
  });

  test.each(Object.keys(unreadable))("can't read %s", async (request) => {
    using client = await rawConnection(service().port);
    client.socket.write(unreadable[request]!(), "latin1");
    client.socket.end();
    answers.push(await client.closed);
  });

  test("has revealed none of the secrets", async () => {
    const metrics = await (await fetch(`${service().adminUrl}/metrics`)).text();
    await service().stop();
    const { output } = service();
    // Otherwise the test would prove nothing.
    expect(answers.length).toBeGreaterThan(300);
    expect(output).toContain('"operation":"DownloadSession.KeepAlive"');
    expect(output).toMatch(/"session":"no-[0-9a-f]{5}…"/);
    expect(metrics).toContain('operation="DownloadSession.KeepAlive"');
    expect(occurring(answers.join("\n"), secrets), "in answers").toEqual([]);
    expect(occurring(output, [...secrets, ...privates]), "in its output").toEqual([]);
    expect(occurring(metrics, [...secrets, ...privates]), "in metrics").toEqual([]);
  });
});
