import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { hashPassword } from "../../src/auth/password-hash.ts";
import { putUser } from "../../src/cli/users/edit-users.ts";
import {
  connect,
  type DownloadOptions,
  downloadItem,
  LeaseKeeper,
  SessionState,
} from "../../src/client/index.ts";
import { storeKinds } from "../support/app.ts";
import { makeCertificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { type Service, startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

/** More than what the buffers of a connection hold. */
const onTheWay = 16 * 1024 * 1024;
// A download waits for its reader; the first bytes are reported within a tenth of a second.
const size = 64 * 1024 * 1024;
const disk = randomBytes(size);

// Services are started and killed, and large files are hashed on both sides.
vi.setConfig({ testTimeout: 60_000 });

/** The small item. */
const smallDisk = disk.subarray(0, 1024 * 1024);

let library: TempDir;
let content: string;
let scratch: TempDir;
let directory: string;
const services: Service[] = [];
beforeAll(async () => {
  library = await tempDir();
  content = library.path;
  await Promise.all([writeItem("item", disk), writeItem("small-item", smallDisk)]);
});
beforeEach(async () => {
  scratch = await tempDir();
  directory = join(scratch.path, "downloads");
});
afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.kill()));
  await scratch.remove();
});
afterAll(() => library.remove());

async function writeItem(id: string, bytes: Uint8Array): Promise<void> {
  const item = join(content, "lib", id);
  await mkdir(item, { recursive: true });
  await Promise.all([
    writeFile(join(item, ".item.json"), JSON.stringify({ id })),
    writeFile(join(item, "disk.bin"), bytes),
    writeFile(join(item, "läs mich.txt"), "small"),
  ]);
}

async function serve(...args: readonly string[]): Promise<Service> {
  const service = await startService(["--content-root", content, ...args]);
  services.push(service);
  return service;
}

const sqlite = () => ["--sqlite-path", join(scratch.path, "sessions.db")];

async function expectWholeItem(bytes = disk): Promise<void> {
  expect((await readdir(directory)).sort()).toEqual(["disk.bin", "läs mich.txt"]);
  expect((await readFile(join(directory, "disk.bin"))).equals(bytes)).toBe(true);
  expect(await readFile(join(directory, "läs mich.txt"), "utf8")).toBe("small");
}

const quick = { itemId: "item", patienceMs: 20_000, idleMs: 5_000 } satisfies Partial<DownloadOptions>;
const small = { ...quick, itemId: "small-item" };

/** Calls the service while this process does nothing else, reading what comes included. */
function callNow({ url }: Service, method: "Cancel" | "Delete", request: object): void {
  const service = "content.library.item.v1.DownloadSessionService";
  const json = ["-H", "content-type: application/json", "-d", JSON.stringify(request)];
  execFileSync("curl", ["-sSf", ...json, `${url}/${service}/${method}`]);
}

/** Of the session that the download has written down. */
function sessionId(): string {
  const name = readdirSync(directory).find((entry) => /^\.downlease-.*\.json$/.test(entry));
  return JSON.parse(readFileSync(join(directory, name!), "utf8")).sessionId;
}

/** Runs an action when a part of the large file has arrived, and the rest can't have been sent. */
function inTheMiddle(action: () => void): NonNullable<DownloadOptions["onProgress"]> {
  let done = false;
  return ({ files }) => {
    const file = files.find(({ name }) => name === "disk.bin");
    if (done || file?.state !== "downloading" || file.bytesDone === 0) return;
    done = true;
    expect(file.bytesDone).toBeLessThan(size - onTheWay);
    action();
  };
}

describe.each(storeKinds)("the service, with sessions in %s", (store) => {
  const storeArgs = () => (store === "Redis" ? ["--redis-url", sharedRedisUrl()] : sqlite());

  test("has its items downloaded whole, and its sessions deleted", async () => {
    const service = await serve(...storeArgs());
    await using server = connect({ url: service.url });
    const result = await downloadItem(server, { ...small, directory });
    expect(result).toMatchObject({ bytesTotal: smallDisk.length + 5, bytesFetched: smallDisk.length + 5 });
    await expectWholeItem(smallDisk);
    const { downloadSessionIds } = await server.sessions.list({ libraryItemId: small.itemId });
    expect(downloadSessionIds).toEqual([]);
  });

  test("may be killed in the middle: the client waits for it", async () => {
    const port = String(await freePort());
    const service = await serve("--port", port, ...storeArgs());
    await using server = connect({ url: service.url });
    let killed: Promise<void> | undefined;
    const running = downloadItem(server, {
      ...quick,
      directory,
      onProgress: inTheMiddle(() => {
        killed = service.kill();
      }),
    });
    running.catch(() => {});
    await eventually("the service to be killed", () => killed !== undefined, { withinMs: 15_000 });
    await killed;
    await serve("--port", port, ...storeArgs());
    expect(await running).toMatchObject({ bytesFetched: size + 5 });
    await expectWholeItem();
  });

  test("cuts the downloads of a session that is canceled, which ends the client's download", async () => {
    const service = await serve(...storeArgs());
    await using server = connect({ url: service.url });
    const onProgress = inTheMiddle(() => callNow(service, "Cancel", { downloadSessionId: sessionId() }));
    await expect(downloadItem(server, { ...quick, directory, onProgress })).rejects.toMatchObject({
      reason: "lease_lost",
    });
    expect(await readdir(directory)).not.toContain("disk.bin");
  });

  test("continues in another session when the session was deleted", async () => {
    const service = await serve(...storeArgs());
    await using server = connect({ url: service.url });
    const onProgress = inTheMiddle(() => callNow(service, "Delete", { downloadSessionId: sessionId() }));
    const { bytesFetched } = await downloadItem(server, { ...quick, directory, onProgress });
    expect(bytesFetched).toBe(size + 5);
    await expectWholeItem();
  });
});

test("an item that is replaced in the middle is downloaded in its new version", {
  timeout: 60_000,
}, async () => {
  const service = await serve(...sqlite());
  await using server = connect({ url: service.url });
  await writeItem("replaced", disk);
  const other = randomBytes(size);
  const notices = new Set<string | undefined>();
  const replace = inTheMiddle(() => writeFileSync(join(content, "lib", "replaced", "disk.bin"), other));
  await downloadItem(server, {
    ...quick,
    itemId: "replaced",
    directory,
    onProgress: (progress) => {
      notices.add(progress.notice);
      replace(progress);
    },
  });
  expect((await readFile(join(directory, "disk.bin"))).equals(other)).toBe(true);
  expect([...notices]).toContainEqual(expect.stringContaining("has changed"));
});

test("a lease is kept for longer than it is, with nothing being moved", async () => {
  const service = await serve("--lease-seconds", "1", ...sqlite());
  await using server = connect({ url: service.url });
  const { downloadSessionId } = await server.sessions.create({ createSpec: { libraryItemId: "item" } });
  const begun = Date.now();
  {
    await using keeper = new LeaseKeeper(server, downloadSessionId);
    keeper.report(42);
    await eventually("three leases to have gone by", () => Date.now() > begun + 3_000);
    expect(keeper.lost.aborted).toBe(false);
  }
  const { downloadSession } = await server.sessions.get({ downloadSessionId });
  expect(downloadSession).toMatchObject({ state: SessionState.ACTIVE, clientProgress: 42n });
});

test("a session is canceled when the download is", async () => {
  const service = await serve(...sqlite());
  await using server = connect({ url: service.url });
  const stop = new AbortController();
  const running = downloadItem(server, {
    ...quick,
    directory,
    signal: stop.signal,
    onProgress: inTheMiddle(() => stop.abort()),
  });
  await expect(running).rejects.toMatchObject({ reason: "aborted" });
  const { downloadSessionIds } = await server.sessions.list({});
  const sessions = await Promise.all(
    downloadSessionIds.map((downloadSessionId) => server.sessions.get({ downloadSessionId })),
  );
  expect(sessions.map(({ downloadSession }) => downloadSession?.state)).toEqual([SessionState.CANCELED]);
  const { bytesFetched } = await downloadItem(server, { ...quick, directory });
  expect(bytesFetched).toBeLessThan(size + 5);
  await expectWholeItem();
});

describe("a caller", () => {
  test("logs in by itself, again when the login session is over, and out at the end", async () => {
    const users = join(scratch.path, "users.json");
    await putUser(users, { name: "alice", password: await hashPassword("open sesame"), roles: [] });
    const service = await serve("--users-file", users, "--login-idle-seconds", "1", ...sqlite());
    const wrong = connect({ url: service.url, user: "alice", password: "wrong" });
    await expect(downloadItem(wrong, { ...small, directory })).rejects.toMatchObject({ reason: "refused" });
    await wrong[Symbol.asyncDispose]();
    const server = connect({ url: service.url, user: "alice", password: "open sesame" });
    await downloadItem(server, { ...small, directory });
    await expectWholeItem(smallDisk);
    const before = await server.logins.get({});
    const other = async () => {
      const { info } = await server.logins.get({});
      return info!.createdTime!.seconds > before.info!.createdTime!.seconds;
    };
    // Each look uses the login session, which ends after a second without use.
    await eventually("another login session", other, { everyMs: 1_500, withinMs: 15_000 });
    await server[Symbol.asyncDispose]();
  });

  test("may do so over TLS, with certificates of their own authority and their own", async () => {
    const ca = await makeCertificate(scratch.path, "ca", { subject: "/CN=authority" });
    const own = await makeCertificate(scratch.path, "server", {
      subject: "/CN=localhost",
      alternativeNames: "DNS:localhost,IP:127.0.0.1",
      issuer: ca,
    });
    const alice = await makeCertificate(scratch.path, "alice", {
      subject: "/CN=alice",
      issuer: ca,
      usage: "clientAuth",
    });
    const service = await serve(
      ...["--tls-cert", own.path, "--tls-key", own.keyPath, "--mtls-ca", ca.path],
      ...sqlite(),
    );
    const options = { url: service.url, ca: ca.cert, cert: alice.cert, key: alice.key };
    {
      await using server = connect(options);
      await downloadItem(server, { ...small, directory });
      await expectWholeItem(smallDisk);
    }
    await using stranger = connect({ url: service.url });
    await expect(downloadItem(stranger, { ...small, directory, patienceMs: 0 })).rejects.toMatchObject({
      reason: "unreachable",
    });
  });
});
