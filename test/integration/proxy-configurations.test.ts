import { once } from "node:events";
import { appendFile } from "node:fs/promises";
import { connect } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { HttpRequest } from "../../src/calls/http.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { begin, type DownloadOptions, download, type Version } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { startHaproxy } from "../support/haproxy.ts";
import { startNginx } from "../support/nginx.ts";
import { type RecordingServer, startRecordingServer } from "../support/recording-server.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const versions: readonly Version[] = ["HTTP/1.1", "HTTP/2"];
const link = "/download/session/disk.iso?v=1&k=key&s=c2VjcmV0";
const brokenLink = "/download/session/broken.iso?v=1&k=key&s=c2VjcmV0";
const loginsPerMinute = 4;
const basic = { authorization: "Basic YTpi" };

/** A proxy with the configuration in `deploy/`, behind which a server stands that records what it gets. */
interface Proxy extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  reload(): Promise<void>;
  /** Everything that it has logged. */
  logged(): Promise<string>;
}

type Start = (upstream: string, tls: Certificate) => Promise<Proxy>;

const proxies: readonly [string, Version, Start][] = [
  [
    "HAProxy",
    "HTTP/2",
    async (upstream, tls) => {
      const haproxy = await startHaproxy([upstream, upstream], { tls, loginsPerMinute });
      return Object.assign(haproxy, { logged: async () => haproxy.log });
    },
  ],
  [
    "nginx",
    "HTTP/1.1",
    async (upstream, tls) => {
      const nginx = await startNginx({ upstream, tls, logins: loginsPerMinute });
      return Object.assign(nginx, { logged: async () => nginx.log + (await nginx.failures()) });
    },
  ],
];

function cut(request: HttpRequest): void {
  if ("stream" in request) request.stream.session?.destroy();
  else request.socket.destroy();
}

let directory: TempDir;
let certificate: Certificate;
beforeAll(async () => {
  directory = await tempDir();
  certificate = await makeCertificate(directory.path, "proxy", {
    subject: "/CN=localhost",
    alternativeNames: "DNS:localhost",
  });
  // HAProxy reads both from one file.
  await appendFile(certificate.path, certificate.key);
});
afterAll(() => directory.remove());

describe.each(proxies)("%s", (_, upstreamVersion, start) => {
  /** Ends a download that has begun. */
  let endDownload = () => {};
  let replica: RecordingServer;
  let proxy: Proxy;
  /** One for each test: logins are counted by address. */
  let localAddress = "";
  let tests = 0;

  beforeAll(async () => {
    replica = await startRecordingServer(upstreamVersion, (request, response) => {
      if (request.url === brokenLink) return cut(request);
      response.writeHead(request.url === link ? 503 : 200);
      if (request.url !== "/long") return void response.end();
      response.write("begun, ");
      endDownload = () => response.end("whole");
    });
    proxy = await start(replica.address, certificate);
  });
  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await replica?.[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    localAddress = `127.0.0.${++tests + 1}`;
  });

  const ask = (path: string, options: DownloadOptions = {}, version: Version = "HTTP/1.1") =>
    download(version, proxy.url + path, { localAddress, ca: certificate.cert, ...options });

  test.each(versions)("sends the client's address over %s, and no header that it forged", async (version) => {
    const forged = {
      forwarded: "for=6.6.6.6;host=evil.example;proto=http",
      "x-forwarded-for": "6.6.6.6",
      "x-forwarded-host": "evil.example",
      "x-forwarded-port": "666",
      "x-forwarded-proto": "http",
    };
    const { headers } = await ask("/api/x", { headers: forged }, version);
    const sent = Object.entries(replica.requests.at(-1)!.headers);
    expect(Object.fromEntries(sent.filter(([name]) => name.includes("forwarded")))).toEqual({
      "x-forwarded-for": localAddress,
      "x-forwarded-proto": "https",
    });
    expect(headers["strict-transport-security"]).toBe("max-age=31536000");
  });

  test("offers HTTP/2", async () => {
    const client = connect({
      ...{ port: proxy.port, host: "127.0.0.1", servername: "localhost", ca: certificate.cert },
      ALPNProtocols: ["h2", "http/1.1"],
    });
    await once(client, "secureConnect");
    expect(client.alpnProtocol).toBe("h2");
    client.destroy();
  });

  test.each(versions)("keeps metrics inside, over %s", async (version) => {
    const before = replica.requests.length;
    for (const path of ["/metrics", "/metrics?x", "/metrics/", "/%6detrics", "/METRICS"])
      expect((await ask(path, {}, version)).status, path).toBe(404);
    expect(replica.requests.length).toBe(before);
    expect((await ask("/readyz", {}, version)).status).toBe(200);
  });

  test.each([
    [link, "503"],
    [brokenLink, "502"],
  ])("logs that %s fails, without the query", async (uri, status) => {
    const [path] = uri.split("?");
    await ask(uri);
    const line = await eventually("the log of the answer", async () =>
      (await proxy.logged()).split("\n").find((one) => one.includes(path!)),
    );
    expect(line).toContain(`"GET ${path} HTTP/1.1"`);
    expect(line).toContain(` ${status} `);
    expect(await proxy.logged()).not.toContain("c2VjcmV0");
  });

  test.each<[string, string, Record<string, string>]>([
    ["2014", "/com/vmware/cis/session", {}],
    ["/rest", "/rest/com/vmware/cis/session?~action=create", {}],
    ["/rest, written otherwise", "/rest/com/vmware/cis/%73ession", {}],
    ["/api", "/api/session", {}],
    ["RPC", "/cis.v1.SessionService/Create", {}],
    ["JSON-RPC that names the service", "/api", { "vapi-service": "com.vmware.cis.session" }],
    ["JSON-RPC with a password", "/api", basic],
    ["JSON-RPC with both", "/api", { ...basic, "vapi-service": "any" }],
  ])("limits logins by address: %s", async (_dialect, path, headers) => {
    const logIn = () => ask(path, { method: "POST", headers });
    for (let count = 0; count < loginsPerMinute; count++) expect((await logIn()).status).toBe(200);
    const passed = replica.requests.length;
    const refused = await logIn();
    expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "60"]);
    expect(refused.headers["content-type"]).toBe("application/json");
    expect(JSON.parse(refused.body.toString())).toMatchObject({
      type: "com.vmware.vapi.std.errors.service_unavailable",
      value: { error_type: "SERVICE_UNAVAILABLE", messages: [{ args: ["60"] }] },
    });
    expect(replica.requests.length).toBe(passed);
    const another = `127.0.1.${tests}`;
    expect((await ask(path, { method: "POST", headers, localAddress: another })).status).toBe(200);
    expect((await ask("/api/content/library", { headers })).status).toBe(200);
  });

  test("does not limit other calls", async () => {
    for (let count = 0; count < 2 * loginsPerMinute; count++) {
      for (const [method, path] of [
        ["POST", "/api"],
        ["GET", "/api/session"],
        ["DELETE", "/rest/com/vmware/cis/session"],
        ["POST", "/cis.v1.SessionService/Get"],
      ] as const)
        expect((await ask(path, { method })).status, path).toBe(200);
    }
  });

  test.each(versions)("does not cut a download over %s when it is reloaded", async (version) => {
    const begun = await begin(version, `${proxy.url}/long`, { ca: certificate.cert });
    await proxy.reload();
    expect((await ask("/api/x")).status).toBe(200);
    endDownload();
    const { body, isWhole } = await begun.finish();
    expect([body.toString(), isWhole]).toEqual(["begun, whole", true]);
  });
});
