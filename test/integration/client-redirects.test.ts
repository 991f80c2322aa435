import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connect, type DownloadSettings, downloadItem, type ServerOptions } from "../../src/client/index.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { FaultServer } from "../support/fault-server.ts";
import { startProxy } from "../support/http-proxy.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// Links that lead to the storage of the server, by URLs that live for a while.

const size = 3_000_000;

interface StorageRequest {
  readonly signature: string | null;
  readonly headers: IncomingHttpHeaders;
  readonly hasCertificate: boolean;
}

let directory: TempDir;
let server: FaultServer;
let bytes: Buffer;
let storage: Awaited<ReturnType<typeof startStorage>>;
beforeEach(async () => {
  [server, directory] = await Promise.all([FaultServer.start(), tempDir()]);
  bytes = Buffer.from(server.addFile("disk.img", size));
  storage = await startStorage();
  redirectTo(storage.url);
});
afterEach(async () => {
  await storage[Symbol.asyncDispose]();
  await server.crash();
  await directory.remove();
});

/** Signs a URL for each request. */
function redirectTo(url: string, status = 307): void {
  let signatures = 0;
  server.onFileRequest = () => {
    signatures += 1;
    server.everyFault = { status, headers: { location: `${url}/disk.img?signature=${signatures}` } };
  };
}

/** Answers the next requests; one that returns false is answered as usual. */
type Answer = (response: ServerResponse) => boolean | undefined;

async function startStorage(certificate?: Certificate) {
  const requests: StorageRequest[] = [];
  const answers: Answer[] = [];
  const plain = createServer();
  const listener =
    certificate === undefined
      ? plain
      : createTlsServer({ ...certificate, requestCert: true, rejectUnauthorized: false });
  listener.on("request", ({ url, headers, socket }, response) => {
    const certificateOf = (socket as TLSSocket).getPeerCertificate?.() ?? {};
    const signature = new URL(url!, "http://storage").searchParams.get("signature");
    requests.push({ signature, headers, hasCertificate: Object.keys(certificateOf).length > 0 });
    if (answers.shift()?.(response)) return;
    const isPart = headers["if-range"] === '"of the storage"';
    const start = isPart ? Number(/\d+/.exec(headers.range!)![0]) : 0;
    response.writeHead(isPart ? 206 : 200, {
      etag: '"of the storage"',
      "content-length": size - start,
      ...(isPart && { "content-range": `bytes ${start}-${size - 1}/${size}` }),
    });
    response.end(bytes.subarray(start));
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as AddressInfo;
  return {
    url: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    requests,
    answers,
    async [Symbol.asyncDispose]() {
      listener.close();
      listener.closeAllConnections();
    },
  };
}

async function get(options: Partial<ServerOptions & DownloadSettings> = {}) {
  const { ca, cert, key, url = server.url, proxyEnv = {}, traceHeaders, ...settings } = options;
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  await using client = connect({ url, proxyEnv, ...tls, ...(traceHeaders && { traceHeaders }) });
  return await downloadItem(client, { itemId: "item", directory: join(directory.path, "out"), ...settings });
}

const cutAfter =
  (count: number): Answer =>
  (response) => {
    response.writeHead(200, { etag: '"of the storage"', "content-length": size });
    response.write(bytes.subarray(0, count), () => response.socket?.destroySoon());
    return true;
  };
const refuse =
  (status: number): Answer =>
  (response) => {
    response.writeHead(status, { "content-type": "application/xml" }).end("<Error/>");
    return true;
  };

test("bytes come from the storage, which gets nothing that is the server's", async () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const { files } = await get({ traceHeaders: () => ({ traceparent }) });
  expect(files).toMatchObject([{ name: "disk.img", size, outcome: "downloaded" }]);
  const [{ headers }, ...more] = storage.requests as [StorageRequest];
  expect(more).toEqual([]);
  expect(Object.keys(headers).sort()).toEqual(["accept-encoding", "connection", "host"]);
});

test("a download goes on where it was cut, by a URL that the link signs for it", async () => {
  storage.answers.push(cutAfter(1_000_000));
  expect((await get()).bytesFetched).toBe(size);
  expect(storage.requests).toMatchObject([
    { signature: "1" },
    { signature: "2", headers: { range: "bytes=1000000-", "if-range": '"of the storage"' } },
  ]);
});

test.each([400, 403, 404, 503])(
  "the answer %i of the storage means that the link is asked again, not that the session is gone",
  async (status) => {
    storage.answers.push(refuse(status), cutAfter(1_000_000));
    const calls: string[] = [];
    server.beforeCall = (method) => calls.push(method);
    const { bytesFetched } = await get();
    expect([bytesFetched, server.created]).toEqual([size, 1]);
    expect(calls.filter((method) => method === "prepare")).toHaveLength(1);
    expect(storage.requests.map(({ signature }) => signature)).toEqual(["1", "2", "3"]);
  },
);

test("a storage that keeps refusing is named, the URL is not", async () => {
  storage.answers.push(...Array.from({ length: 9 }, () => refuse(403)));
  const failure: Error = await get({ patienceMs: 0 }).catch((error) => error);
  expect(failure).toMatchObject({ reason: "refused", message: "disk.img: the storage answers 403" });
  expect(server.ends.join()).not.toContain("storage");
});

test("wrong bytes of the storage never get the name of the file", async () => {
  bytes[1234]! ^= 1;
  await expect(get()).rejects.toMatchObject({ reason: "checksum" });
});

test("no more than five redirects are followed", async () => {
  server.onFileRequest = () => {};
  server.everyFault = { status: 308, headers: { location: "/download/again" } };
  await expect(get()).rejects.toMatchObject({
    reason: "refused",
    message: "disk.img: the link redirects more than 5 times",
  });
  expect(server.fileRequests).toHaveLength(6);
});

test("the storage gets no certificate of the client, and has one of the same authority", async () => {
  const subject = "/CN=localhost";
  const [ca, alice] = await Promise.all([
    makeCertificate(directory.path, "ca", { subject, alternativeNames: "IP:127.0.0.1" }),
    makeCertificate(directory.path, "alice", { subject: "/CN=alice" }),
  ]);
  await using secure = await startStorage(ca);
  redirectTo(secure.url, 302);
  await get({ ca: ca.cert, cert: alice.cert, key: alice.key });
  expect(secure.requests).toMatchObject([{ hasCertificate: false }]);
  // Of an authority that nobody knows.
  await expect(get({ directory: join(directory.path, "other"), patienceMs: 0 })).rejects.toMatchObject({
    reason: "unreachable",
  });
  expect(secure.requests).toHaveLength(1);
});

test("a server elsewhere can't send its clients to an address of this machine", async () => {
  await using proxy = await startProxy();
  const url = `http://dl.corp.example:${new URL(server.url).port}`;
  server.linkBase = url;
  const proxyEnv = { http_proxy: `http://127.0.0.1:${proxy.port}` };
  await expect(get({ url, proxyEnv })).rejects.toMatchObject({
    reason: "refused",
    message: "disk.img: the link leads to 127.0.0.1, an address of this machine, but the server is elsewhere",
  });
  expect(storage.requests).toEqual([]);
});
