import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ownName } from "../../src/client/disk.ts";
import { Fetcher, type Sink } from "../../src/client/fetch.ts";
import { connect, type Downlease, type DownloadSettings, downloadItem } from "../../src/client/index.ts";
import { makeCertificate } from "../support/certificates.ts";
import { runCommand } from "../support/command.ts";
import { FaultServer } from "../support/fault-server.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// What a server, or a user of the directory, can do to a download.

let server: FaultServer;
let client: Downlease;
let directory: TempDir;
let target: string;
beforeEach(async () => {
  [server, directory] = await Promise.all([FaultServer.start(), tempDir()]);
  server.addFile("disk.bin", 2_000_000);
  client = connect({ url: server.url });
  target = join(directory.path, "secret-place");
  await mkdir(target);
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
  await directory.remove();
});

const download = (options: Partial<DownloadSettings> = {}) =>
  downloadItem(client, { itemId: "item", directory: target, patienceMs: 0, ...options });

const planted: readonly (readonly [string, string])[] = [
  ["the lock of the item", ownName("item", "item", "lock")],
  ["the lock of a file", ownName("file", "disk.bin", "lock")],
  ["the draft of the state", ownName("item", "item", "json.new")],
  ["the state", ownName("item", "item", "json")],
  ["a partial file", "disk.bin.part"],
];

test.each(planted)("a link that is planted as %s ends get, and its target stays", async (_, name) => {
  const victim = join(directory.path, "victim");
  await writeFile(victim, "precious");
  await symlink(victim, join(target, name));
  const { code, stderr } = await runCommand(["get", "item", "-o", target, "--server", server.url]);
  expect({ code, stderr }).toEqual({
    code: 7,
    stderr: expect.stringMatching(/is a symbolic link.*Move it away, or choose a directory/),
  });
  expect(await readFile(victim, "utf8")).toBe("precious");
  expect((await readdir(target)).filter((each) => each !== name && !each.endsWith(".json"))).toEqual([]);
  expect(server.ends.join()).not.toContain("secret-place");
});

test("the server gets the reason of a failure, and no path", async () => {
  await mkdir(join(target, "disk.bin.part"));
  await expect(download()).rejects.toMatchObject({ message: expect.stringContaining(target) });
  expect(server.ends).toEqual(["fail: disk.bin: the file can't be written"]);
});

test("the server does not get to know how other hosts answer", async () => {
  server.linkBase = "http://127.0.0.1:1";
  await expect(download()).rejects.toMatchObject({ message: expect.stringContaining("127.0.0.1:1") });
  expect(server.ends).toEqual(["fail: disk.bin: no progress for too long"]);
});

test.each(["-rf", "x\u202egpj.exe", "a\u200bb", "\x1b[2J"])(
  "a file with the name %j is refused, and the name is shown with escapes",
  async (name) => {
    server.addFile(name, 10);
    const failure: Error = await download().catch((error) => error);
    expect(failure).toMatchObject({ reason: "refused" });
    expect(failure.message).toMatch(/whose name can't be used: '[ -~]+' (begins|has)/);
    expect(await readdir(target)).toEqual([]);
  },
);

test("no message carries what controls a terminal, or is endless", async () => {
  server.errors.set("disk.bin", `\x1b[2J\u202e${"x".repeat(900_000)}`);
  const failure: Error = await download().catch((error) => error);
  expect(failure.message).toMatch(/^disk\.bin: \\x1b\[2J\\u\{202e\}x+…$/);
  expect(failure.message.length).toBeLessThan(2_100);
});

test.each([-5n, 2n ** 62n])("a size of %s bytes is refused", async (size) => {
  server.reportedSize = () => size;
  await expect(download()).rejects.toMatchObject({
    reason: "refused",
    message: "disk.bin has no valid size",
  });
});

test("more bytes than a file has are not written", async () => {
  server.everyFault = { surplus: 5_000_000 };
  await expect(download()).rejects.toMatchObject({
    reason: "unreachable",
    message: expect.stringContaining("more bytes than the file has"),
  });
  const files = (await readdir(target)).filter((name) => !name.startsWith("."));
  for (const name of files)
    expect((await readFile(join(target, name))).length).toBeLessThanOrEqual(2_000_000);
});

test("a client certificate is shown to the origin of the server only", async () => {
  const [ca, alice] = await Promise.all([
    makeCertificate(directory.path, "ca", { subject: "/CN=localhost", alternativeNames: "IP:127.0.0.1" }),
    makeCertificate(directory.path, "alice", { subject: "/CN=alice" }),
  ]);
  const shown = new Map<string, boolean>();
  const listen = async (name: string): Promise<Server> => {
    const options = { cert: ca.cert, key: ca.key, requestCert: true, rejectUnauthorized: false };
    const each = createServer(options, (request, response) => {
      shown.set(name, Object.keys((request.socket as TLSSocket).getPeerCertificate()).length > 0);
      response.end("x");
    });
    await new Promise<void>((resolve) => each.listen(0, "127.0.0.1", resolve));
    return each;
  };
  const urlOf = (each: Server) => `https://127.0.0.1:${(each.address() as AddressInfo).port}`;
  const [own, other] = await Promise.all([listen("own"), listen("other")]);
  const tls = { ca: ca.cert, cert: alice.cert, key: alice.key };
  {
    using fetcher = new Fetcher({ url: urlOf(own), tls, proxies: {} }, { connections: 1, idleMs: 5_000 });
    for (const each of [own, other]) {
      const sink: Sink = {
        position: 0,
        end: 1,
        size: 1,
        etag: undefined,
        isShared: false,
        accepted: () => {},
        begin: async () => {},
        write: () => undefined,
      };
      await fetcher.fetch(`${urlOf(each)}/f`, sink, AbortSignal.timeout(5_000));
    }
  }
  expect(Object.fromEntries(shown)).toEqual({ own: true, other: false });
  for (const each of [own, other]) each.close();
});
