import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { connect, downloadItem } from "../../src/client/index.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { runCommand } from "../support/command.ts";
import { FaultServer } from "../support/fault-server.ts";
import { type HttpProxy, startProxy, startTlsFront, type TestServer } from "../support/http-proxy.ts";
import { freePort } from "../support/ports.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// A host that only the proxy finds.
const host = "dl.corp.example";

let directory: TempDir;
let certificate: Certificate;
let proxy: HttpProxy;
let server: FaultServer;
let front: TestServer;
beforeAll(async () => {
  directory = await tempDir();
  certificate = await makeCertificate(directory.path, "server", {
    subject: `/CN=${host}`,
    alternativeNames: `DNS:${host},IP:127.0.0.1`,
  });
});
afterAll(() => directory.remove());
beforeEach(async () => {
  [proxy, server] = await Promise.all([startProxy(), FaultServer.start()]);
  server.addFile("disk.img", 200_000);
  front = await startTlsFront(certificate, portOf(server.url));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.crash();
  for (const each of [front, proxy]) await each[Symbol.asyncDispose]();
});

const portOf = (url: string) => Number(new URL(url).port);
const proxyUrl = () => `http://127.0.0.1:${proxy.port}`;
let runs = 0;
/** Gets the item into a directory of its own. */
function get(url: string, env: Record<string, string>, ...args: string[]) {
  runs += 1;
  const target = join(directory.path, `out-${runs}`);
  return runCommand(["get", "item", "--server", url, "-o", target, "-q", ...args], { env });
}

describe("a server behind a proxy", () => {
  test("is called, and its links are fetched, as HTTP_PROXY says", async () => {
    const url = `http://${host}:${portOf(server.url)}`;
    server.linkBase = url;
    expect(await get(url, { HTTP_PROXY: proxyUrl() })).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(proxy.requests.length).toBeGreaterThan(5);
    expect(proxy.requests.filter((line) => !line.includes(` ${url}/`))).toEqual([]);
    expect(proxy.requests.filter((line) => line.startsWith(`GET ${url}/download/`))).toHaveLength(1);
  });

  test("is called through tunnels with TLS, as HTTPS_PROXY says", async () => {
    const url = `https://${host}:${front.port}`;
    server.linkBase = url;
    // Without a scheme, as curl takes it, and in lower case.
    const env = { https_proxy: `127.0.0.1:${proxy.port}`, HTTP_PROXY: "http://127.0.0.1:1" };
    expect(await get(url, env, "--ca", certificate.path)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(new Set(proxy.requests)).toEqual(new Set([`CONNECT ${host}:${front.port}`]));
    expect(server.fileRequests).toHaveLength(1);
  });

  test("is found by the SDK by the variables of the process, or by those of an option", async () => {
    const url = `http://${host}:${portOf(server.url)}`;
    server.linkBase = url;
    vi.stubEnv("http_proxy", proxyUrl());
    {
      await using own = connect({ url });
      await downloadItem(own, { itemId: "item", directory: join(directory.path, "sdk") });
    }
    expect(proxy.requests.length).toBeGreaterThan(5);
    await using none = connect({ url: server.url, proxyEnv: {} });
    proxy.requests.length = 0;
    await none.sessions.create({ createSpec: { libraryItemId: "item" } });
    expect(proxy.requests).toEqual([]);
  });
});

test.each(["NO_PROXY", "no_proxy"])("hosts in %s are called directly", async (name) => {
  const env = { http_proxy: proxyUrl() };
  expect((await get(server.url, env)).code).toBe(0);
  expect(proxy.requests.length).toBeGreaterThan(5);
  proxy.requests.length = 0;
  expect((await get(server.url, { ...env, [name]: "example.org,127.0.0.1" })).code).toBe(0);
  expect(proxy.requests).toEqual([]);
});

describe("a proxy that does not serve is named", () => {
  const secure = () => `https://${host}:${front.port}`;

  test("when it is not there", async () => {
    const port = await freePort();
    const away = `http://127.0.0.1:${port}`;
    for (const [url, env] of [
      [secure(), { HTTPS_PROXY: away }],
      [`http://${host}:1`, { HTTP_PROXY: away }],
    ] as const) {
      const { code, stderr } = await get(url, env);
      expect(stderr).toBe(
        `downlease: can't reach ${url}: the proxy 127.0.0.1:${port}: connection refused. Is it running there?\n`,
      );
      expect(code).toBe(5);
    }
  });

  test("when it requires a password", async () => {
    proxy.refusal = 407;
    const message =
      /: (?:.*: )?the proxy requires a user and a password\. Set them as in HTTP_PROXY=[^\n]*\n$/;
    for (const url of [secure(), `http://${host}:1`]) {
      const wrong = `http://alice:secret@127.0.0.1:${proxy.port}`;
      const { code, stderr } = await get(url, { HTTPS_PROXY: wrong, HTTP_PROXY: wrong });
      expect(stderr).toMatch(message);
      expect(stderr).not.toContain("secret");
      expect(code).toBe(4);
    }
  });

  test.each(["socks5://alice:secret@host:1", "http://", "ftp://host"])("when it is %s", async (value) => {
    const { code, stderr } = await get(server.url, { HTTP_PROXY: value });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "downlease: HTTP_PROXY must be the URL of an HTTP proxy, such as http://proxy.example:3128\n",
    });
  });
});

describe("a server that moved to TLS", () => {
  let old: Server;
  let oldUrl: string;
  beforeEach(async () => {
    old = createServer((request, response) => {
      const location = `https://127.0.0.1:${front.port}${request.url}`;
      response.writeHead(308, { location }).end();
    });
    await new Promise<void>((resolve) => old.listen(0, "127.0.0.1", resolve));
    oldUrl = `http://127.0.0.1:${(old.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    old.close();
    old.closeAllConnections();
  });

  test("is named, where the address before redirects to it", async () => {
    const { code, stderr } = await get(`${oldUrl}/`, {});
    expect(stderr).toBe(`downlease: ${oldUrl} redirects to https://127.0.0.1:${front.port}. Use that URL\n`);
    expect(code).toBe(2);
  });

  test("is followed to by links, but not away from TLS", async () => {
    server.linkBase = oldUrl;
    expect(await get(server.url, {}, "--ca", certificate.path)).toMatchObject({ code: 0 });
    server.everyFault = { status: 302, headers: { location: `${server.url}/download/x` } };
    server.linkBase = `https://127.0.0.1:${front.port}`;
    const down = await get(server.linkBase, {}, "--ca", certificate.path);
    expect(down.stderr).toMatch(/the link redirects from TLS to clear text/);
    expect(down.code).toBe(4);
  });
});
