import { once } from "node:events";
import { rename, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { type Issuer, newIssuer } from "../support/tokens.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const sessions = "/rest/com/vmware/content/library/item/download-session";

let directory: TempDir;
let issuer: Issuer;
const services: Service[] = [];

beforeAll(async () => {
  [directory, issuer] = await Promise.all([tempDir(), newIssuer("RS256")]);
  await Promise.all([
    writeFile(join(directory.path, "jwks.json"), JSON.stringify(issuer.jwks)),
    writeFile(join(directory.path, "users"), `alice:${cheapHash("correct horse")}:\n`, { mode: 0o600 }),
  ]);
});
afterAll(async () => {
  await Promise.all(services.map((service) => service.kill()));
  await directory.remove();
});

async function start(args: readonly string[]): Promise<Service> {
  const service = await startService(args);
  services.push(service);
  return service;
}

const inDirectory = (name: string) => join(directory.path, name);
const jwtFlags = () => [
  ...["--jwt-jwks", inDirectory("jwks.json"), "--jwt-issuer", issuer.issuer],
  ...["--jwt-audience", issuer.audience],
];

const bearer = async (claims: Readonly<Record<string, unknown>> = {}) =>
  `Bearer ${await issuer.token(claims)}`;

describe("where authentication is required", () => {
  const challenge = 'Bearer realm="downlease", vmware-api-session-id realm="downlease"';
  const badToken = 'Bearer realm="downlease", error="invalid_token", vmware-api-session-id realm="downlease"';
  const passwordOnly = basic("alice", "correct horse");
  const cases = [
    ["nothing", {}, "required", challenge],
    ["a bad token", { authorization: "Bearer a.b.c" }, "invalid", badToken],
    ["an empty header", { authorization: "" }, "invalid", badToken],
    ["another scheme", { authorization: "Digest x=y" }, "invalid", badToken],
    ["a password", { authorization: passwordOnly }, "password", challenge],
    ["a login session that does not exist", { "vmware-api-session-id": "x" }, "expired", challenge],
    ["a cookie of no login session", { cookie: "vmware-api-session-id=x" }, "expired", challenge],
  ] as const;

  let service: Service;
  let slow: Service;
  beforeAll(async () => {
    const flags = ["--users-file", inDirectory("users"), ...jwtFlags(), "--auth", "required"];
    [service, slow] = await Promise.all([start(flags), start([...flags, "--fast-lane", "off"])]);
  });

  describe.each(["JSON", "XML"])("REST, %s", (kind) => {
    const accept = kind === "JSON" ? "application/json" : "application/xml";

    test.each(cases)("%s is refused with 401 and a challenge", async (_, headers, id, expected) => {
      const response = await fetch(service.url + sessions, { headers: { ...headers, accept } });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe(expected);
      const body = await response.text();
      expect(body).toContain(`downlease.authentication.${id}`);
      expect(body).toContain("com.vmware.vapi.std.errors.unauthenticated");
      expect(body).not.toContain("horse");
    });
  });

  test("REST does not validate a request before its caller is authenticated", async () => {
    const create = (headers: Record<string, string>) =>
      fetch(service.url + sessions, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: "{",
      });
    expect((await create({})).status).toBe(401);
    expect((await create({ authorization: await bearer() })).status).toBe(400);
  });

  const transports: Record<string, (baseUrl: string) => Transport> = {
    gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
    "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    "Connect over HTTP/1.1": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    "Connect over HTTP/2": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  };
  const lanes = { "the fast lane": () => service, "Connect's runtime": () => slow };

  describe.each(Object.keys(lanes) as (keyof typeof lanes)[])("through %s", (lane) => {
    describe.each(Object.entries(transports))("%s", (_, transport) => {
      const client = () => createClient(DownloadSessionService, transport(lanes[lane]().url));

      test.each(cases)(
        "%s is refused with UNAUTHENTICATED and a challenge",
        async (_, headers, id, expected) => {
          const error = await client()
            .keepAlive({ downloadSessionId: "x" }, { headers })
            .then(
              () => undefined,
              (reason: unknown) => ConnectError.from(reason),
            );
          expect(error?.code).toBe(Code.Unauthenticated);
          expect(error?.metadata.get("www-authenticate")).toBe(expected);
          expect(error?.findDetails(ErrorInfoSchema)).toMatchObject([
            { reason: "UNAUTHENTICATED", metadata: { message_id: `downlease.authentication.${id}` } },
          ]);
        },
      );

      test("a session exists for its creator and for admins", async () => {
        const [alice, bob, admin] = await Promise.all(
          [{}, { sub: "bob" }, { sub: "root", roles: ["admin"] }].map(async (claims) => ({
            headers: { authorization: await bearer(claims) },
          })),
        );
        const calls = client();
        const { downloadSessionId } = await calls.create({ createSpec: { libraryItemId: "photon" } }, alice);
        await calls.keepAlive({ downloadSessionId }, alice);
        await expect(calls.keepAlive({ downloadSessionId }, bob)).rejects.toMatchObject({
          code: Code.NotFound,
        });
        await calls.keepAlive({ downloadSessionId }, admin);
        expect((await calls.list({}, alice)).downloadSessionIds).toContain(downloadSessionId);
        expect((await calls.list({}, bob)).downloadSessionIds).toEqual([]);
      });
    });

    test("a stream of keep-alives is authenticated, too", async () => {
      const client = createClient(
        DownloadSessionService,
        createGrpcTransport({ baseUrl: lanes[lane]().url }),
      );
      async function* requests() {
        yield { downloadSessionId: "x" };
      }
      const results = async (headers: Record<string, string>) => {
        const all = [];
        for await (const one of client.keepAliveStream(requests(), { headers })) all.push(one);
        return all;
      };
      await expect(results({})).rejects.toMatchObject({ code: Code.Unauthenticated });
      expect(await results({ authorization: await bearer() })).toHaveLength(1);
    });
  });

  test("health and metrics are for everybody", async () => {
    for (const path of ["/healthz", "/readyz"]) expect((await fetch(service.url + path)).status).toBe(200);
    expect((await fetch(`${service.adminUrl}/metrics`)).status).toBe(200);
    const health = createClient(Health, createGrpcTransport({ baseUrl: service.url }));
    expect(await health.check({})).toMatchObject({ status: 1 });
  });

  test("neither passwords nor tokens are in the log", async () => {
    const token = await bearer({ sub: "logged" });
    await fetch(service.url + sessions, { headers: { authorization: token, "x-request-id": "the-last" } });
    await fetch(service.url + sessions, { headers: { authorization: passwordOnly } });
    await eventually("the call", () => service.logs.some(({ requestId }) => requestId === "the-last"));
    const text = JSON.stringify(service.logs);
    for (const secret of [token.split(" ")[1]!, passwordOnly.split(" ")[1]!, "horse", "scrypt"]) {
      expect(text).not.toContain(secret);
    }
  });

  test("signing keys are replaced without a restart", async () => {
    const jwks = inDirectory("own.json");
    await writeFile(jwks, JSON.stringify(issuer.jwks));
    const { url } = await start([...jwtFlags(), "--jwt-jwks", jwks]);
    const next = await newIssuer("ES256");
    const statusWith = async (token: string) =>
      (await fetch(url + sessions, { headers: { authorization: `Bearer ${token}` } })).status;
    const token = await next.token();
    expect(await statusWith(token)).toBe(401);
    await writeFile(`${jwks}.2`, JSON.stringify(next.jwks));
    await rename(`${jwks}.2`, jwks);
    await eventually("the new key", async () => (await statusWith(token)) === 200);
  });
});

describe("with client certificates", () => {
  let ca: Certificate;
  let service: Service;
  let server: Certificate;
  let clients: Record<"alice" | "ops" | "named" | "stranger" | "serverOnly", Certificate>;

  beforeAll(async () => {
    const { path } = directory;
    [ca, server] = await Promise.all([
      makeCertificate(path, "ca", { subject: "/CN=the authority" }),
      makeCertificate(path, "server", { subject: "/CN=server", alternativeNames: "IP:127.0.0.1" }),
    ]);
    const [alice, ops, named, stranger, serverOnly] = await Promise.all([
      makeCertificate(path, "alice", { subject: "/O=Example/CN=alice", issuer: ca }),
      makeCertificate(path, "ops", { subject: "/CN=ops", issuer: ca, usage: "clientAuth" }),
      makeCertificate(path, "named", {
        subject: "/O=Example",
        alternativeNames: "email:a@b.example,URI:spiffe://example/service",
        issuer: ca,
      }),
      makeCertificate(path, "stranger", { subject: "/CN=ops" }),
      makeCertificate(path, "serverOnly", { subject: "/CN=ops", issuer: ca, usage: "serverAuth" }),
    ]);
    clients = { alice, ops, named, stranger, serverOnly };
    service = await start([
      ...["--tls-cert", server.path, "--tls-key", server.keyPath],
      ...["--mtls-ca", ca.path, "--mtls-admins", "ops", ...jwtFlags()],
    ]);
  });

  const tlsOf = (name?: keyof typeof clients) => ({
    ca: server.cert,
    ...(name !== undefined && { cert: clients[name].cert, key: clients[name].key }),
  });

  async function rest(name?: keyof typeof clients, headers: Record<string, string> = {}) {
    const sent = request(service.url + sessions, { ...tlsOf(name), headers, agent: false }).end();
    const [response] = await once(sent, "response");
    let body = "";
    for await (const chunk of response.setEncoding("utf8")) body += chunk;
    return { status: response.statusCode as number, body };
  }

  const grpc = (name?: keyof typeof clients) =>
    createClient(
      DownloadSessionService,
      createGrpcTransport({ baseUrl: service.url, nodeOptions: tlsOf(name) }),
    );
  const createSpec = { libraryItemId: "photon" };

  test("the name in a certificate is the principal, on HTTP/1.1 and HTTP/2", async () => {
    const { downloadSessionId } = await grpc("alice").create({ createSpec });
    expect(JSON.parse((await rest("alice")).body).value).toEqual([downloadSessionId]);
    await expect(grpc("named").get({ downloadSessionId })).rejects.toMatchObject({ code: Code.NotFound });
    expect(await grpc("ops").get({ downloadSessionId })).toMatchObject({ downloadSession: {} });
  });

  test("without a common name an alternative name is the principal", async () => {
    const { downloadSessionId } = await grpc("named").create({ createSpec });
    const headers = { authorization: await bearer({ sub: "spiffe://example/service" }) };
    expect((await grpc().list({}, { headers })).downloadSessionIds).toEqual([downloadSessionId]);
  });

  test.each(["stranger", "serverOnly"] as const)(
    "a certificate of %s is refused, unless something better is shown",
    async (name) => {
      expect(await rest(name)).toMatchObject({
        status: 401,
        body: expect.stringContaining("downlease.authentication.invalid"),
      });
      await expect(grpc(name).list({})).rejects.toMatchObject({ code: Code.Unauthenticated });
      expect(await rest(name, { authorization: await bearer() })).toMatchObject({ status: 200 });
    },
  );

  test("no certificate is no error of TLS, but of calls", async () => {
    expect(await rest()).toMatchObject({
      status: 401,
      body: expect.stringContaining("downlease.authentication.required"),
    });
    await expect(grpc().list({})).rejects.toMatchObject({ code: Code.Unauthenticated });
  });

  test("a bad token is not made good by a certificate", async () => {
    expect(await rest("ops", { authorization: "Bearer a.b.c" })).toMatchObject({ status: 401 });
  });
});

describe("does not start", () => {
  async function failure(...args: string[]) {
    const others = Object.keys(process.env).filter((name) => name.startsWith("DOWNLEASE_"));
    const env = Object.fromEntries(others.map((name) => [name, undefined]));
    const places = ["--port", "0", "--admin-listen", "off", "--sqlite-path", ":memory:"];
    const program = await startProcess(process.execPath, [main, "serve", ...places, ...args], { env });
    const { code } = await program.exited;
    return { code, stderr: program.stderr };
  }

  test("on a public address without authentication, unless a flag allows it", async () => {
    expect(await failure("--host", "0.0.0.0")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--host must be a loopback address .*--insecure-no-auth/),
    });
    // The flag may stand alone.
    const service = await start(["--host", "0.0.0.0", "--insecure-no-auth"]);
    expect((await fetch(`http://127.0.0.1:${service.port}${sessions}`)).status).toBe(200);
    expect(service.logs).toContainEqual(
      expect.objectContaining({
        level: "warn",
        msg: "every caller that reaches this address is anonymous",
      }),
    );
  });

  test("with files that can't be used", async () => {
    expect(await failure("--users-file", inDirectory("nowhere"))).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^downlease can't start: the users file \S+nowhere can't be used: ENOENT[^\n]+\n$/,
      ),
    });
    await writeFile(inDirectory("broken"), "alice:secret:\n");
    const broken = await failure("--users-file", inDirectory("broken"));
    expect(broken).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/broken can't be used: line 1: /),
    });
    expect(broken.stderr).not.toContain("secret");
    const { path, keyPath } = await makeCertificate(directory.path, "own", { subject: "/CN=own" });
    const tls = ["--tls-cert", path, "--tls-key", keyPath];
    expect(await failure(...tls, "--mtls-ca", inDirectory("broken"))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/TLS can't be used: /),
    });
  });
});
