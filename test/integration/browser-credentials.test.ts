// What a browser adds to a request by itself, on every protocol: a client certificate, Basic credentials, a cookie.

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect, type SecureClientSessionOptions } from "node:http2";
import { request } from "node:https";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { invocation } from "../support/json-rpc.ts";
import { answerOf, envelope } from "../support/raw-rpc.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const portal = "https://portal.example";
const loginHeader = "vmware-api-session-id";
const rpcPath = "/content.library.item.v1.DownloadSessionService/List";
const json = { "content-type": "application/json" };

interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** One request on each protocol that needs authentication and changes nothing. */
const protocols: Record<string, Sent> = {
  "REST /rest": { method: "GET", path: "/rest/com/vmware/content/library/item/download-session" },
  "REST /api": { method: "GET", path: "/api/content/library/item/download-session" },
  "JSON-RPC": {
    path: "/api",
    headers: json,
    body: JSON.stringify(invocation("list", { library_item_id: { OPTIONAL: null } })),
  },
  Connect: { path: rpcPath, headers: json, body: "{}" },
  "gRPC-Web": {
    path: rpcPath,
    headers: { "content-type": "application/grpc-web+proto" },
    body: envelope(new Uint8Array()),
  },
  gRPC: {
    path: rpcPath,
    headers: { "content-type": "application/grpc", te: "trailers" },
    body: envelope(new Uint8Array()),
  },
};
const login: Sent = { path: "/rest/com/vmware/cis/session" };

const foreign = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
const otherPort = { origin: "https://127.0.0.1:1" };
const ofPortal = { "sec-fetch-site": "cross-site", origin: portal };
const own = { "sec-fetch-site": "same-origin" };

let directory: TempDir;
let server: Certificate;
let client: Certificate;
beforeAll(async () => {
  directory = await tempDir();
  const { path } = directory;
  const [ca, ofServer] = await Promise.all([
    makeCertificate(path, "ca", { subject: "/CN=the authority" }),
    makeCertificate(path, "server", { subject: "/CN=server", alternativeNames: "IP:127.0.0.1" }),
    writeFile(join(path, "users"), `alice:${cheapHash("correct horse")}:\n`, { mode: 0o600 }),
  ]);
  server = ofServer;
  client = await makeCertificate(path, "ops", { subject: "/CN=ops", issuer: ca });
});
afterAll(() => directory.remove());

describe.each([true, false])("with the fast lane: %s", (fastLane) => {
  let app: TestApp;
  beforeAll(async () => {
    const { path } = directory;
    app = await startTestApp({
      fastLane,
      corsOrigins: portal,
      tls: { cert: server.path, key: server.keyPath },
      settings: { mtlsCa: join(path, "ca.pem"), mtlsAdmins: "ops", usersFile: join(path, "users") },
    });
  });
  afterAll(() => app.stop());

  const tls = (hasCertificate: boolean) => ({
    ca: server.cert,
    ...(hasCertificate && { cert: client.cert, key: client.key }),
  });

  async function overHttp1({ method = "POST", path, headers, body = "" }: Sent, hasCertificate: boolean) {
    const options = { ...tls(hasCertificate), method, agent: false };
    const sent = request(app.url + path, {
      ...options,
      headers: { ...headers, "content-length": String(body.length) },
    }).end(body);
    const [response] = await once(sent, "response");
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += chunk;
    return { status: response.statusCode as number, text, cookies: response.headers["set-cookie"] ?? [] };
  }

  async function overHttp2({ method = "POST", path, headers, body = "" }: Sent, hasCertificate: boolean) {
    const session = connect(app.url, tls(hasCertificate) as SecureClientSessionOptions);
    try {
      const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: false });
      const answer = await answerOf(stream, [Buffer.from(body)]);
      const text = answer.body.toString("latin1") + JSON.stringify([answer.headers, answer.trailers]);
      return { status: answer.httpStatus, text };
    } finally {
      session.destroy();
    }
  }

  type Send = (
    sent: Sent,
    hasCertificate: boolean,
  ) => Promise<{ readonly status: number; readonly text: string }>;

  /** Whether the request is served, or refused as one of a page of another origin. */
  async function outcome(send: Send, sent: Sent, headers: object, hasCertificate = false) {
    const { status, text } = await send(
      { ...sent, headers: { ...sent.headers, ...headers } },
      hasCertificate,
    );
    if (/page(%20| )of(%20| )another(%20| )origin/.test(text)) return "refused";
    if (/No(%20| )credentials/.test(text)) return "refused as without any";
    return status < 300 ? "served" : status;
  }

  const ways = Object.entries(protocols).flatMap(([name, sent]) =>
    [overHttp1, overHttp2]
      .filter((send) => name !== "gRPC" || send === overHttp2)
      .map((send) => [`${name}, ${send.name}`, send, sent] as const),
  );

  test.each(ways)("%s: a certificate counts only for pages of ours", async (_, send, sent) => {
    const outcomes = await Promise.all(
      [{}, own, { "sec-fetch-site": "none" }, { origin: app.url }, foreign, otherPort, ofPortal].map(
        (headers) => outcome(send, sent, headers, true),
      ),
    );
    expect(outcomes).toEqual([...Array(4).fill("served"), ...Array(3).fill("refused")]);
    expect(await outcome(send, sent, foreign)).toBe("refused as without any");
  });

  test.each(ways)(
    "%s: a login session counts by its header, and by its cookie on pages of ours",
    async (_, send, sent) => {
      const opened = await overHttp1(
        { ...login, headers: { authorization: basic("alice", "correct horse") } },
        false,
      );
      const id = JSON.parse(opened.text).value as string;
      const cookie = { cookie: `${loginHeader}=${id}` };
      const outcomes = await Promise.all(
        [
          { ...foreign, [loginHeader]: id },
          cookie,
          { ...own, ...cookie },
          { ...foreign, ...cookie },
          { ...ofPortal, ...cookie },
        ].map((headers) => outcome(send, sent, headers)),
      );
      expect(outcomes).toEqual(["served", "served", "served", "refused", "refused"]);
    },
  );

  test("a stream lives on with the cookie that it began with", async () => {
    const opened = await overHttp1(
      { ...login, headers: { authorization: basic("alice", "correct horse") } },
      false,
    );
    const cookie = `${loginHeader}=${JSON.parse(opened.text).value}`;
    const nodeOptions = { ca: server.cert };
    const client = createClient(
      DownloadSessionService,
      createGrpcTransport({ baseUrl: app.url, nodeOptions }),
    );
    const answers = async (headers: Record<string, string>) => {
      async function* requests() {
        yield { downloadSessionId: "unknown" };
      }
      const received = [];
      for await (const answer of client.keepAliveStream(requests(), { headers })) received.push(answer);
      return received.length;
    };
    expect(await answers({ cookie })).toBe(1);
    await expect(answers({ ...foreign, cookie })).rejects.toMatchObject({ code: Code.Unauthenticated });
  });

  test("a page of another origin logs nobody in with what the browser adds", async () => {
    const password = { authorization: basic("alice", "correct horse") };
    for (const headers of [foreign, otherPort]) {
      expect(await outcome(overHttp1, login, { ...headers, ...password })).toBe("refused");
      expect(await outcome(overHttp1, login, headers, true)).toBe("refused");
      expect((await overHttp1({ ...login, headers }, true)).cookies).toEqual([]);
    }
    for (const headers of [{}, own, { origin: app.url }]) {
      expect(await outcome(overHttp1, login, { ...headers, ...password })).toBe("served");
      expect(await outcome(overHttp1, login, headers, true)).toBe("served");
    }
  });

  test("a page of an allowed origin logs in with a password, and not with a certificate", async () => {
    expect(
      await outcome(overHttp1, login, { ...ofPortal, authorization: basic("alice", "correct horse") }),
    ).toBe("served");
    expect(await outcome(overHttp1, login, ofPortal, true)).toBe("refused");
  });

  test("a password in a body is of the page itself", async () => {
    const { params, ...rest } = invocation("create", {});
    const securityCtx = {
      schemeId: "com.vmware.vapi.std.security.user_pass",
      ...{ userName: "alice", password: "correct horse" },
    };
    const ctx = { ...params.ctx, securityCtx };
    const body = JSON.stringify({ ...rest, params: { ...params, serviceId: "com.vmware.cis.session", ctx } });
    const sent = { path: "/api", headers: json, body };
    expect(await outcome(overHttp1, sent, foreign)).toBe("served");
    expect((await overHttp1(sent, false)).text).toContain('"output"');
  });
});
