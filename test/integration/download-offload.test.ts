import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { begin, download } from "../support/download.ts";
import { downloadRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { linkTo, stateOf } from "../support/links.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { addItem, endSession, expiryOf, openSession, sha256 } from "../support/session-files.ts";

const bytes = randomBytes(24 * 1024 * 1024);
const digest = `sha-256=:${Buffer.from(sha256(bytes), "hex").toString("base64")}:`;
const strangeName = "50% naïve? #1 & “2”.bin";

/** A service that has just looked at a file, and lets nginx send it. */
async function startRedirecting(target: string) {
  const server = createServer(({ url }, response) => {
    response.writeHead(200, url === "/healthz" ? {} : { "x-accel-redirect": target }).end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const close = async () => void server.close().closeAllConnections();
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: close };
}

describe.each(storeKinds)("behind nginx, %s", (store) => {
  let app: TestApp;
  let nginx: Nginx;
  let itemId: string;
  beforeAll(async () => {
    app = await startTestApp({
      store,
      leaseSeconds: 30,
      settings: { offload: "x-accel-redirect", trustedProxies: "127.0.0.1" },
    });
    nginx = await startNginx({ upstream: `127.0.0.1:${app.port}`, contentRoot: app.contentRoot });
    itemId = await addItem(app.contentRoot, { "disk.bin": bytes, [strangeName]: "strange", empty: "" });
  });
  afterAll(async () => {
    await nginx.stop();
    await app.stop();
  });

  const open = () => openSession(nginx.url, itemId);

  test("links lead to nginx, which sends the files", async () => {
    const uri = await linkTo(nginx.url, await open(), "disk.bin");
    expect(uri.startsWith(`${nginx.url}/download/`)).toBe(true);
    const { status, headers, body } = await download("HTTP/1.1", uri);
    expect([status, body.equals(bytes)]).toEqual([200, true]);
    expect(headers).toMatchObject({
      server: expect.stringMatching(/^nginx/),
      "content-length": String(bytes.length),
      "content-type": "application/octet-stream",
      "content-disposition": expect.stringMatching(/^attachment; filename="?disk\.bin"?$/),
      "accept-ranges": "bytes",
      "cache-control": "private, no-cache, no-transform",
      "repr-digest": digest,
      "x-content-type-options": "nosniff",
    });
    expect(headers["x-accel-redirect"]).toBeUndefined();
  });

  test("nginx answers ranges, conditions and HEAD as well", async () => {
    const uri = await linkTo(nginx.url, await open(), "disk.bin");
    const head = await download("HTTP/1.1", uri, { method: "HEAD" });
    const etag = head.headers.etag!;
    expect([head.status, head.headers["content-length"], head.body.length]).toEqual([
      200,
      String(bytes.length),
      0,
    ]);
    const get = (headers: Record<string, string>) => download("HTTP/1.1", uri, { headers });
    const part = await get({ range: "bytes=1000-1999", "if-range": etag });
    expect([part.status, part.body.equals(bytes.subarray(1000, 2000))]).toEqual([206, true]);
    expect(part.headers["repr-digest"]).toBe(digest);
    expect((await get({ range: "bytes=1-2", "if-range": '"other"' })).status).toBe(200);
    expect((await get({ range: `bytes=${bytes.length}-` })).status).toBe(416);
    expect((await get({ "if-none-match": etag })).status).toBe(304);
    expect((await get({ "if-match": '"other"' })).status).toBe(412);
  });

  test("any name", async () => {
    const uri = await linkTo(nginx.url, await open(), strangeName);
    expect((await download("HTTP/1.1", uri)).body.toString()).toBe("strange");
    expect((await download("HTTP/1.1", await linkTo(nginx.url, await open(), "empty"))).status).toBe(200);
  });

  test("a link that is not open leads nowhere, and content is unavailable without a link", async () => {
    const id = await open();
    const uri = await linkTo(nginx.url, id, "disk.bin");
    expect((await download("HTTP/1.1", uri.replace(/.$/, ""))).status).toBe(404);
    expect((await download("HTTP/1.1", `${nginx.url}/_content/lib/${itemId}/disk.bin`)).status).toBe(404);
    await endSession(nginx.url, id, "cancel");
    expect((await download("HTTP/1.1", uri)).status).toBe(404);
  });

  test("a download renews the lease once, when it is requested", async () => {
    const id = await open();
    const uri = await linkTo(nginx.url, id, "disk.bin");
    const before = await expiryOf(nginx.url, id);
    await download("HTTP/1.1", uri, { method: "HEAD" });
    expect(await expiryOf(nginx.url, id)).toBe(before);
    await eventually("the clock to move on", () => Date.now() > before - 30_000 + 5);
    await download("HTTP/1.1", uri);
    expect(await expiryOf(nginx.url, id)).toBeGreaterThan(before);
  });

  test("links below the root are followed by the service, never by nginx", async () => {
    const { contentRoot } = app;
    const [linked, swapped] = [
      await addItem(contentRoot, { "a.bin": "a" }),
      await addItem(contentRoot, { "b.bin": "b" }),
    ];
    const itemPath = (id: string, name: string) => join(contentRoot, "lib", id, name);
    await rename(itemPath(linked, "a.bin"), join(contentRoot, ".pooled"));
    await symlink("../../.pooled", itemPath(linked, "a.bin"));
    const uri = await linkTo(nginx.url, await openSession(nginx.url, linked), "a.bin");
    expect((await download("HTTP/1.1", uri)).body.toString()).toBe("a");

    // A link that takes the place of a file after the service has looked.
    const direct = `http://127.0.0.1:${app.port}`;
    const late = await linkTo(direct, await openSession(direct, swapped), "b.bin");
    const { headers } = await download("HTTP/1.1", late);
    await rename(itemPath(swapped, "b.bin"), join(contentRoot, ".kept"));
    await symlink("../../.kept", itemPath(swapped, "b.bin"));
    await using redirecting = await startRedirecting(String(headers["x-accel-redirect"]));
    await using second = await startNginx({ upstream: `127.0.0.1:${redirecting.port}`, contentRoot });
    expect((await download("HTTP/1.1", `${second.url}/anything`)).status).toBe(403);
    await rm(itemPath(swapped, "b.bin"));
    await rename(join(contentRoot, ".kept"), itemPath(swapped, "b.bin"));
    expect((await download("HTTP/1.1", `${second.url}/anything`)).body.toString()).toBe("b");
  });

  test("the price: a cancel does not cut a file that nginx is sending", async () => {
    const id = await open();
    const begun = await begin("HTTP/1.1", await linkTo(nginx.url, id, "disk.bin"));
    await endSession(nginx.url, id, "cancel");
    expect(await stateOf(nginx.url, id)).toBe("CANCELED");
    expect((await begun.finish()).body.equals(bytes)).toBe(true);
  });

  test("a file that is gone, or is another one, leads nowhere", async () => {
    const changing = await addItem(app.contentRoot, { "a.bin": "before", "b.bin": "b" });
    const uri = await linkTo(nginx.url, await openSession(nginx.url, changing), "a.bin");
    await writeFile(join(app.contentRoot, "lib", changing, "a.bin"), "after!");
    expect((await download("HTTP/1.1", uri)).status).toBe(404);
    await rm(join(app.contentRoot, "lib", changing, "a.bin"));
    expect((await download("HTTP/1.1", uri)).status).toBe(404);
  });
});

test("content that nginx can't see is sent by the service", async () => {
  await using rig = await downloadRig({
    offload: { to: "nginx", prefix: "/_content/" },
    content: (source) => ({
      async openFile(itemId, name, contentVersion) {
        const file = await source.openFile(itemId, name, contentVersion);
        if (file === undefined) return undefined;
        const close = () => file.close();
        const { size, version } = file;
        return { size, version, reader: (range) => file.reader(range), close, [Symbol.asyncDispose]: close };
      },
    }),
  });
  await rig.addFile("disk.bin", "content");
  const { headers, body } = await download("HTTP/1.1", rig.url + rig.link(await rig.open(), "disk.bin"));
  expect([headers["x-accel-redirect"], body.toString()]).toEqual([undefined, "content"]);
});

test("a session that has just ended is not offloaded, and a store that is down is reported", async () => {
  await using rig = await downloadRig({ offload: { to: "nginx", prefix: "/_content/" } });
  await rig.addFile("disk.bin", "content");
  const session = await rig.open();
  const url = rig.url + rig.link(session, "disk.bin");
  const { status, headers } = await download("HTTP/1.1", url);
  expect([status, headers["x-accel-redirect"]]).toEqual([200, "/_content/lib/item/disk.bin"]);
  rig.files.isDown = true;
  const refused = await download("HTTP/1.1", url);
  expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "1"]);
  rig.files.isDown = false;
  rig.files.gone.add(session.id);
  expect((await download("HTTP/1.1", url)).status).toBe(404);
});
