import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { ContentFile } from "../../src/domain/content-source.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { download } from "../support/download.ts";
import { type DownloadRigOptions, downloadRig, sha256 } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { startGet } from "../support/get.ts";
import { linkTo } from "../support/links.ts";
import { type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import { type S3Server, s3Credentials, startS3Server, type TestBucket } from "../support/s3-server.ts";
import { endSession, expiryOf, openSession } from "../support/session-files.ts";
import { tempDir } from "../support/temp-dir.ts";

const bytes = randomBytes(3_000_000);
const digests = { SHA256: sha256(bytes) };
const leaseSeconds = 30;

describe("a link to content in a bucket", () => {
  let server: S3Server;
  let clients: S3Proxy;
  let bucket: TestBucket;
  let app: TestApp;
  beforeAll(async () => {
    for (const [name, value] of Object.entries(s3Credentials)) vi.stubEnv(name, value);
    server = await startS3Server();
    // As clients reach the storage.
    clients = await startS3Proxy(server.url);
    bucket = await server.bucket();
    await bucket.put("lib/item/.item.json", '{"id": "i"}');
    await bucket.put("lib/item/disk 1.img", bytes);
    app = await startTestApp({
      leaseSeconds,
      settings: {
        s3Bucket: bucket.name,
        s3Endpoint: server.url,
        s3PublicEndpoint: clients.url,
        offload: "redirect",
      },
    });
  });
  afterAll(async () => {
    await app.stop();
    await clients.stop();
    await server.stop();
    vi.unstubAllEnvs();
  });

  const link = (id: string) => linkTo(app.url, id, "disk 1.img");

  test.each(["HTTP/1.1", "HTTP/2"] as const)("redirects GET to a URL that is signed, %s", async (version) => {
    const id = await openSession(app.url, "i");
    const uri = await link(id);
    const before = await expiryOf(app.url, id);
    await eventually("the clock to move on", () => Date.now() > before - leaseSeconds * 1000 + 5);
    const { status, headers, body } = await download(version, uri);
    expect([status, body.length, headers["cache-control"]]).toEqual([307, 0, "no-store"]);
    expect(headers["referrer-policy"]).toBe("no-referrer");
    expect(await expiryOf(app.url, id)).toBeGreaterThan(before);

    const location = new URL(headers.location!);
    expect(location.origin).toBe(clients.url);
    expect(location.searchParams.get("response-content-disposition")).toContain('filename="disk 1.img"');
    const seconds = Number(location.searchParams.get("X-Amz-Expires"));
    expect(seconds).toBeGreaterThan(leaseSeconds / 2);
    expect(seconds).toBeLessThanOrEqual(leaseSeconds);
    const whole = await download("HTTP/1.1", location.href);
    expect([whole.status, whole.body.equals(bytes)]).toEqual([200, true]);
  });

  test("has the entity tag of the storage, so that a download may go on on either side", async () => {
    const uri = await link(await openSession(app.url, "i"));
    const head = await download("HTTP/2", uri, { method: "HEAD" });
    expect([head.status, head.headers["content-length"]]).toEqual([200, String(bytes.length)]);
    const etag = head.headers.etag!;
    const { location } = (await download("HTTP/1.1", uri)).headers;
    const rest = { range: "bytes=2999000-", "if-range": etag };
    for (const each of [location!, `${uri}&offload=none`]) {
      const part = await download("HTTP/1.1", each, { headers: rest });
      expect([part.status, part.headers.etag, part.body.equals(bytes.subarray(2_999_000))]).toEqual([
        206,
        etag,
        true,
      ]);
    }
  });

  test("sends the file itself when the client asks for that", async () => {
    const uri = await link(await openSession(app.url, "i"));
    clients.exchanges.length = 0;
    for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
      const { status, body } = await download(version, `${uri}&offload=none`);
      expect([status, body.equals(bytes)]).toEqual([200, true]);
    }
    expect((await download("HTTP/1.1", `${uri}&offload=no`)).status).toBe(307);
    expect(clients.exchanges).toEqual([]);
  });

  test("leads nowhere once it is closed, wrong, or its object has changed", async () => {
    const id = await openSession(app.url, "i");
    const uri = await link(id);
    expect((await download("HTTP/1.1", uri.replace(/s=./, "s="))).status).toBe(404);
    await bucket.put("lib/item/other", "x");
    expect((await download("HTTP/2", uri)).status).toBe(404);
    await bucket.remove("lib/item/other");
    expect((await download("HTTP/2", uri)).status).toBe(307);
    await endSession(app.url, id, "cancel");
    for (const version of ["HTTP/1.1", "HTTP/2"] as const) {
      const { status, headers } = await download(version, uri);
      expect([status, headers.location]).toEqual([404, undefined]);
    }
  });

  test("is followed by get, which holds the lease and verifies what came", async () => {
    await using out = await tempDir();
    clients.exchanges.length = 0;
    // The storage breaks off once.
    clients.interfere = () => {
      clients.interfere = undefined;
      return { cutAfter: 1_000_000 };
    };
    await using get = await startGet(app.url, "i", join(out.path, "files"));
    const { code, events } = await get.ended();
    expect([code, events.at(-1)]).toMatchObject([0, { event: "result", bytes_fetched: bytes.length }]);
    expect(clients.exchanges.map(({ kind, headers }) => [kind, headers.range])).toEqual([
      ["get", undefined],
      ["get", expect.stringMatching(/^bytes=\d+-$/)],
    ]);
  });
});

/** A rig whose files have URIs on their storage. */
async function redirecting(options: Partial<DownloadRigOptions> & { readonly isVerified?: boolean } = {}) {
  const { isVerified = true, ...others } = options;
  const lifetimes: number[] = [];
  const uris: { next: string | undefined } = { next: "https://s3.example/f" };
  const rig = await downloadRig({
    offload: { to: "storage" },
    preparations: {
      find: async (files) => files.map(() => (isVerified ? { status: "PREPARED", digests } : undefined)),
    },
    content: (source) => ({
      async openFile(itemId, name, contentVersion) {
        const file = await source.openFile(itemId, name, contentVersion);
        if (file === undefined) return undefined;
        return new Proxy(file, {
          get(target, name) {
            if (name === "directUri") {
              return async (lifetimeMs: number) => {
                lifetimes.push(lifetimeMs);
                return uris.next;
              };
            }
            const value = target[name as keyof ContentFile];
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    }),
    ...others,
  });
  rig.files.expiresAt = Date.now() + 60_000;
  await rig.addFile("disk.bin", "content");
  await rig.addFile("empty", "");
  const get = async (name = "disk.bin") => {
    const { status, headers, body } = await download("HTTP/1.1", rig.url + rig.link(await rig.open(), name));
    return [status, headers.location ?? body.toString()];
  };
  return { rig, get, lifetimes, uris };
}

test("a redirect lives as long as the renewed lease, and is recorded without its target", async () => {
  const { rig, get, lifetimes } = await redirecting();
  await using _ = rig;
  rig.files.expiresAt = Date.now() + 20_000;
  expect(await get()).toEqual([307, "https://s3.example/f"]);
  expect(lifetimes[0]).toBeGreaterThan(10_000);
  expect(lifetimes[0]).toBeLessThanOrEqual(20_000);
  await eventually("the record", () => rig.records.length === 1);
  expect(rig.records).toMatchObject([{ outcome: "offloaded", status: 307, bytesSent: 0 }]);
  expect(JSON.stringify(rig.records)).not.toContain("s3.example");
});

test("the service itself sends what must not, or can't, be read from the storage", async () => {
  {
    // Its downloads can be cut when the checksum turns out to be wrong.
    const { rig, get, lifetimes } = await redirecting({ isVerified: false });
    await using _ = rig;
    expect(await get()).toEqual([200, "content"]);
    expect(lifetimes).toEqual([]);
  }
  const { rig, get, uris, lifetimes } = await redirecting();
  await using _ = rig;
  expect(await get("empty")).toEqual([200, ""]);
  rig.files.expiresAt = Date.now() + 4_000;
  expect(await get()).toEqual([200, "content"]);
  expect(lifetimes).toEqual([]);
  rig.files.expiresAt = Date.now() + 60_000;
  uris.next = undefined;
  expect(await get()).toEqual([200, "content"]);
  expect(lifetimes).toHaveLength(1);
});

test("no redirect follows a session that has just ended, or a store that is down", async () => {
  const { rig, lifetimes } = await redirecting();
  await using _ = rig;
  const session = await rig.open();
  const url = rig.url + rig.link(session, "disk.bin");
  rig.files.isDown = true;
  expect((await download("HTTP/2", url)).status).toBe(503);
  rig.files.isDown = false;
  rig.files.gone.add(session.id);
  expect((await download("HTTP/2", url)).status).toBe(404);
  expect(lifetimes).toEqual([]);
});
