import { once } from "node:events";
import { appendFile } from "node:fs/promises";
import { connect } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeCertificate } from "../support/certificates.ts";
import { begin, type DownloadOptions, download, type Version } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { type Haproxy, startHaproxy } from "../support/haproxy.ts";
import { type RecordingServer, startRecordingServer } from "../support/recording-server.ts";
import { tempDir } from "../support/temp-dir.ts";

const versions: readonly Version[] = ["HTTP/1.1", "HTTP/2"];
const link = "/download/session/disk.iso?v=1&k=key&s=c2VjcmV0";
const offered = { ALPNProtocols: ["http/1.1", "h2"] };
const forged = {
  forwarded: "for=6.6.6.6;host=evil.example;proto=https",
  "x-forwarded-for": "6.6.6.6",
  "x-forwarded-host": "evil.example",
  "x-forwarded-port": "666",
  "x-forwarded-proto": "gopher",
  "x-forwarded-anything": "x",
};

/** Ends a download that has begun. */
let endDownload = () => {};
let replica: RecordingServer;
let opened: AsyncDisposableStack;
let clear: Haproxy;
let tls: Haproxy;
let ca: Buffer;
/** One for each test: logins are counted by address. */
let localAddress = "";
let tests = 0;

beforeAll(async () => {
  await using opening = new AsyncDisposableStack();
  replica = opening.use(
    await startRecordingServer("HTTP/2", ({ url }, response) => {
      if (url === "/long") {
        response.write("begun, ");
        endDownload = () => response.end("whole");
        return;
      }
      response.writeHead(url === link ? 503 : 200);
      response.end();
    }),
  );
  const directory = opening.use(await tempDir());
  const certificate = await makeCertificate(directory.path, "haproxy", {
    subject: "/CN=localhost",
    alternativeNames: "DNS:localhost",
  });
  await appendFile(certificate.path, certificate.key);
  ca = certificate.cert;
  const replicas = [replica.address, replica.address];
  clear = opening.use(await startHaproxy(replicas, { loginsPerMinute: 4 }));
  tls = opening.use(await startHaproxy(replicas, { tls: { path: certificate.path, ca } }));
  opened = opening.move();
});
afterAll(() => opened.disposeAsync());

beforeEach(() => {
  localAddress = `127.0.0.${++tests + 1}`;
});

const ask = (path: string, options: DownloadOptions = {}, version: Version = "HTTP/1.1") =>
  download(version, clear.url + path, { localAddress, ...options });

describe.each(versions)("over %s", (version) => {
  test("the replica gets the client's address, and none of the headers that the client forged", async () => {
    await ask("/api/x", { headers: forged }, version);
    const forwarded = Object.entries(replica.requests.at(-1)!.headers).filter(([name]) =>
      name.includes("forwarded"),
    );
    expect(Object.fromEntries(forwarded)).toEqual({
      "x-forwarded-for": localAddress,
      "x-forwarded-proto": "http",
    });
  });

  test("with a certificate HAProxy ends TLS, and says so", async () => {
    const { headers } = await download(version, `${tls.url}/x`, { ca, headers: forged });
    expect(headers["strict-transport-security"]).toBe("max-age=31536000");
    expect(replica.requests.at(-1)?.headers).toMatchObject({
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "https",
    });
  });

  test("metrics stay inside", async () => {
    const before = replica.requests.length;
    for (const path of ["/metrics", "/metrics?x", "/metrics/", "/%6detrics", "/METRICS"])
      expect((await ask(path, {}, version)).status, path).toBe(404);
    expect(replica.requests.length).toBe(before);
    expect((await ask("/readyz", {}, version)).status).toBe(200);
  });
});

test("with a certificate clients are offered HTTP/2 first", async () => {
  const client = connect({ port: tls.port, host: "127.0.0.1", ca, servername: "localhost", ...offered });
  await once(client, "secureConnect");
  expect(client.alpnProtocol).toBe("h2");
  client.destroy();
});

test("the query of a link gets into no log", async () => {
  expect((await ask(link)).status).toBe(503);
  await eventually("the log of the answer", () => clear.log.includes(" 503 "));
  const line = clear.log.split("\n").find((one) => one.includes(" 503 "));
  expect(line).toContain('"GET /download/session/disk.iso HTTP/1.1"');
  expect(clear.log).not.toContain("c2VjcmV0");
});

describe("logins are limited by address", () => {
  const basic = { authorization: "Basic YTpi" };
  test.each<[string, string, Record<string, string>]>([
    ["2014", "/com/vmware/cis/session", {}],
    ["/rest", "/rest/com/vmware/cis/session?~action=create", {}],
    ["/rest, written otherwise", "/rest/com/vmware/cis/%73ession", {}],
    ["/api", "/api/session", {}],
    ["RPC", "/cis.v1.SessionService/Create", {}],
    ["JSON-RPC that names the service", "/api", { "vapi-service": "com.vmware.cis.session" }],
    ["JSON-RPC with a password", "/api", basic],
  ])("%s", async (_, path, headers) => {
    const logIn = () => ask(path, { method: "POST", headers });
    for (let count = 0; count < 4; count++) expect((await logIn()).status).toBe(200);
    const passed = replica.requests.length;
    const refused = await logIn();
    expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "60"]);
    expect(JSON.parse(refused.body.toString())).toMatchObject({
      value: { error_type: "SERVICE_UNAVAILABLE", messages: [{ args: ["60"] }] },
    });
    expect(replica.requests.length).toBe(passed);
    expect((await ask(path, { method: "POST", headers, localAddress: `127.0.1.${tests}` })).status).toBe(200);
    expect((await ask("/api/content/library", { headers })).status).toBe(200);
  });

  test("but not other calls", async () => {
    for (let count = 0; count < 8; count++) {
      for (const [method, path] of [
        ["POST", "/api"],
        ["GET", "/api/session"],
        ["DELETE", "/rest/com/vmware/cis/session"],
        ["POST", "/cis.v1.SessionService/Get"],
      ] as const)
        expect((await ask(path, { method })).status, path).toBe(200);
    }
  });
});

test("a reload does not cut a download", async () => {
  const begun = await begin("HTTP/1.1", `${clear.url}/long`);
  await clear.reload();
  expect((await ask("/api/x")).status).toBe(200);
  endDownload();
  const { body, isWhole } = await begun.finish();
  expect([body.toString(), isWhole]).toEqual(["begun, whole", true]);
});
