import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect as connect2 } from "node:http2";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { type Begun, begin, download } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { deleteSession, fileOf, linkTo, stateOf } from "../support/links.ts";
import { type Service, startService } from "../support/service.ts";
import { addItem, endSession, expiryOf, openSession, sha256 } from "../support/session-files.ts";
import { tempDir } from "../support/temp-dir.ts";

/** More than a connection takes in while nobody reads. */
const size = 24 * 1024 * 1024;
const bytes = randomBytes(size);

const ends: Readonly<Record<string, (url: string, id: string) => Promise<void>>> = {
  cancel: (url, id) => endSession(url, id, "cancel"),
  fail: (url, id) => endSession(url, id, "fail"),
  delete: deleteSession,
};

/** Expects that a download of which nothing is read is cut within a second of the end of its session. */
async function expectCutWithinASecond(begun: Begun, end: () => Promise<void>, isCut: () => unknown) {
  await end();
  await eventually("the download to be cut", isCut, { withinMs: 1_000, everyMs: 10 });
  const { isWhole, body } = await begun.finish();
  expect([isWhole, body.length < size]).toEqual([false, true]);
}

describe.each(storeKinds)("%s", (store) => {
  let app: TestApp;
  let itemId: string;
  beforeAll(async () => {
    app = await startTestApp({ store, settings: { allowedHosts: "*" } });
    itemId = await addItem(app.contentRoot, { "disk.bin": bytes, "small.bin": "small" });
  });
  afterAll(() => app.stop());

  test("a link leads to the file that was prepared, with its digest", async () => {
    const id = await openSession(app.url, itemId);
    const uri = await linkTo(app.url, id, "disk.bin");
    expect(uri).toMatch(
      new RegExp(`^${app.url}/download/${id}/disk\\.bin\\?v=[^&]+&k=[\\w-]+&s=[\\w-]{43}$`),
    );
    const { status, body, headers } = await download("HTTP/1.1", uri);
    expect([status, sha256(body)]).toEqual([200, sha256(bytes)]);
    const digest = `sha-256=:${Buffer.from(sha256(bytes), "hex").toString("base64")}:`;
    expect([headers["repr-digest"], headers["content-digest"]]).toEqual([digest, digest]);
    const { bytes_transferred } = await eventually("the bytes to be counted", async () => {
      const file = await fileOf(app.url, id, "disk.bin");
      return Number(file.bytes_transferred) === size ? file : undefined;
    });
    expect(Number(bytes_transferred)).toBe(size);
  });

  test.each(Object.keys(ends))("after %s a link leads nowhere", async (how) => {
    const id = await openSession(app.url, itemId);
    const uri = await linkTo(app.url, id, "small.bin");
    expect((await download("HTTP/1.1", uri)).body.toString()).toBe("small");
    await ends[how]!(app.url, id);
    expect((await download("HTTP/1.1", uri)).status).toBe(404);
    expect((await download("HTTP/2", uri, { method: "HEAD" })).status).toBe(404);
  });

  test("a link leads nowhere when the item has changed", async () => {
    const changing = await addItem(app.contentRoot, { "disk.bin": "before" });
    const uri = await linkTo(app.url, await openSession(app.url, changing), "disk.bin");
    await writeFile(join(app.contentRoot, "lib", changing, "disk.bin"), "after!");
    expect((await download("HTTP/1.1", uri)).status).toBe(404);
    const newLink = await linkTo(app.url, await openSession(app.url, changing), "disk.bin");
    expect((await download("HTTP/1.1", newLink)).body.toString()).toBe("after!");
  });

  test("the host of a link is that of the request, if it is valid", async () => {
    const id = await openSession(app.url, itemId);
    await linkTo(app.url, id, "small.bin");
    const uriFor = (host: string, more: Record<string, string> = {}) =>
      new Promise<string>((resolve, reject) => {
        const path = `/api/content/library/item/download-session/${id}/file?file_name=small.bin`;
        request(app.url + path, { headers: { host, ...more } }, async (response) => {
          const file = JSON.parse(Buffer.concat(await response.toArray()).toString());
          resolve(file.download_endpoint.uri);
        })
          .on("error", reject)
          .end();
      });
    expect(await uriFor("dl.example:81")).toMatch(/^http:\/\/dl\.example:81\/download\//);
    for (const hostile of ["a b", "evil/x?", "a@b", "a#b", "<x>", "a,b", "x".repeat(5_000)]) {
      expect(await uriFor(hostile)).toMatch(new RegExp(`^${app.url}/download/`));
    }
    const spoofed = { forwarded: "host=evil.example;proto=https", "x-forwarded-host": "evil.example" };
    expect(await uriFor("dl.example", spoofed)).toMatch(/^http:\/\/dl\.example\/download\//);
  });

  test("over HTTP/2 the authority is the host of a link", async () => {
    const id = await openSession(app.url, itemId);
    await linkTo(app.url, id, "small.bin");
    const client = connect2(app.url);
    const path = `/api/content/library/item/download-session/${id}/file?file_name=small.bin`;
    const stream = client.request({ ":path": path, ":authority": "h2.example:444" });
    const { download_endpoint } = JSON.parse(Buffer.concat(await stream.toArray()).toString());
    expect(download_endpoint.uri).toMatch(/^http:\/\/h2\.example:444\/download\//);
    client.close();
  });
});

describe.each(storeKinds)("%s, with a lease of 600 ms", (store) => {
  let app: TestApp;
  let itemId: string;
  beforeAll(async () => {
    app = await startTestApp({ store, leaseSeconds: 0.6 });
    itemId = await addItem(app.contentRoot, { "disk.bin": bytes, "small.bin": "small" });
  });
  afterAll(() => app.stop());

  test("bytes that move slowly keep the session for three leases, and then it ends", async () => {
    const id = await openSession(app.url, itemId);
    // The windows of HTTP/2 pass on how slowly the client reads; over HTTP/1.1 the system takes in megabytes at once.
    const { body, status } = await begin("HTTP/2", await linkTo(app.url, id, "disk.bin"));
    expect(status).toBe(200);
    const endsAt = (await expiryOf(app.url, id)) + 3 * 600;
    let received = 0;
    let pausedAt = 0;
    for await (const chunk of body) {
      received += chunk.length;
      // 128 KiB each 20 ms until three leases are over; nothing else renews.
      if (Date.now() < endsAt && received - pausedAt >= 2 ** 17) {
        pausedAt = received;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    expect(received).toBe(size);
    expect(Date.now()).toBeGreaterThanOrEqual(endsAt);
    await eventually("the session to be gone", async () => (await stateOf(app.url, id)) === undefined);
  });

  test("a link of a session that has expired leads nowhere", async () => {
    const id = await openSession(app.url, itemId);
    const uri = await linkTo(app.url, id, "small.bin");
    await eventually("the session to be gone", async () => (await stateOf(app.url, id)) === undefined);
    expect((await download("HTTP/1.1", uri)).status).toBe(404);
  });

  test("a client that accepts no bytes lets the session expire, and is cut when it continues", async () => {
    const id = await openSession(app.url, itemId);
    const begun = await begin("HTTP/1.1", await linkTo(app.url, id, "disk.bin"));
    await eventually("the session to be gone", async () => (await stateOf(app.url, id)) === undefined);
    const { isWhole, body } = await begun.finish();
    expect([isWhole, body.length < size]).toEqual([false, true]);
  });
});

describe("several replicas", () => {
  let first: TestApp;
  let second: TestApp;
  let itemId: string;
  beforeAll(async () => {
    first = await startTestApp({ store: "Redis" });
    second = await startTestApp({ store: "Redis", settings: { contentRoot: first.contentRoot } });
    itemId = await addItem(first.contentRoot, { "disk.bin": bytes });
  });
  afterAll(async () => {
    await second.stop();
    await first.stop();
  });

  test("a link of one works on each, with the same entity tag", async () => {
    const uri = await linkTo(first.url, await openSession(first.url, itemId), "disk.bin");
    const answers = await Promise.all([
      download("HTTP/1.1", uri),
      download("HTTP/1.1", uri.replace(first.url, second.url)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers[0]?.headers.etag).toBe(answers[1]?.headers.etag);
  });

  test.each(Object.keys(ends))("%s on another one cuts within a second", async (how) => {
    const id = await openSession(first.url, itemId);
    const uri = await linkTo(first.url, id, "disk.bin");
    const [over1, over2] = await Promise.all([begin("HTTP/1.1", uri), begin("HTTP/2", uri)]);
    const running = () => first.metric("downlease_downloads_running");
    const isCut = async () => (await running()) === 0;
    await eventually("both to run", async () => (await running()) === 2);
    await expectCutWithinASecond(over1!, () => ends[how]!(second.url, id), isCut);
    expect((await over2!.finish()).isWhole).toBe(false);
  });
});

describe("two processes with one SQLite file", () => {
  let directory: Awaited<ReturnType<typeof tempDir>>;
  let services: Service[];
  beforeAll(async () => {
    directory = await tempDir();
    const args = ["--content-root", directory.path, "--sqlite-path", join(directory.path, ".sessions.db")];
    args.push("--log-level", "debug");
    services = [await startService(args), await startService(args)];
  });
  afterAll(async () => {
    await Promise.all(services.map((service) => service.stop()));
    await directory.remove();
  });

  test.each(Object.keys(ends))("%s by the other one cuts within a second", async (how) => {
    const [first, second] = services as [Service, Service];
    const itemId = await addItem(directory.path, { "disk.bin": bytes });
    const id = await openSession(first.url, itemId);
    const begun = await begin("HTTP/1.1", await linkTo(second.url, id, "disk.bin"));
    const isCut = () => second.logs.some((line) => line.msg === "download" && line.session === id);
    expect(isCut()).toBe(false);
    await expectCutWithinASecond(begun, () => ends[how]!(first.url, id), isCut);
  });

  test("the log has the outcome of downloads, the session, and no signatures", async () => {
    const [first] = services as [Service, Service];
    const itemId = await addItem(directory.path, { "disk.bin": bytes });
    const id = await openSession(first.url, itemId);
    const uri = await linkTo(first.url, id, "disk.bin");
    await download("HTTP/1.1", uri, { headers: { "x-request-id": "whole" } });
    await download("HTTP/1.1", uri.replace("disk.bin", "none"), { headers: { "x-request-id": "wrong" } });
    const lines = await eventually("both lines", () => {
      const logged = first.logs.filter(({ msg }) => msg === "download");
      return logged.length >= 2 ? logged : undefined;
    });
    expect(lines.at(-2)).toMatchObject({
      requestId: "whole",
      outcome: "complete",
      bytesSent: size,
      status: 200,
      session: id,
      file: "disk.bin",
    });
    expect(lines.at(-1)).toMatchObject({ requestId: "wrong", outcome: "refused", status: 404 });
    const signature = new URL(uri).searchParams.get("s")!;
    expect(first.output).not.toContain(signature);
  });
});

test("keys are rotated without a link that fails", async () => {
  await using directory = await tempDir();
  const [old, next] = [0, 1].map((number) => `k${number}=${randomBytes(32).toString("base64")}`);
  // Each step is made on every replica before the next one begins.
  const steps = [old!, `${old},${next}`, `${next},${old}`, next!];
  const replicas = await Promise.all(
    steps.map((linkKeys) =>
      startTestApp({ store: "Redis", settings: { contentRoot: directory.path, linkKeys } }),
    ),
  );
  const [before, during, then, after] = replicas as [TestApp, TestApp, TestApp, TestApp];
  const works = async (replica: TestApp, uri: string) => {
    const { pathname, search } = new URL(uri);
    return (await download("HTTP/1.1", replica.url + pathname + search)).status === 200;
  };
  const id = await openSession(before.url, await addItem(directory.path, { "disk.bin": "content" }));
  const oldLink = await linkTo(before.url, id, "disk.bin");
  expect(oldLink).toContain("k=k0&");
  const nextLink = await linkTo(then.url, id, "disk.bin");
  expect(nextLink).toContain("k=k1&");
  expect([await works(during, nextLink), await works(then, oldLink)]).toEqual([true, true]);
  expect([await works(after, nextLink), await works(after, oldLink)]).toEqual([true, false]);
  await Promise.all(replicas.map((replica) => replica.stop()));
});

test("behind a proxy that is trusted, links are the proxy's", async () => {
  const app = await startTestApp({ settings: { trustedProxies: "127.0.0.0/8" } });
  const id = await openSession(app.url, await addItem(app.contentRoot, { "disk.bin": "content" }));
  const forwarded = 'for=203.0.113.9;proto=https;host="dl.example:8443"';
  expect(await linkTo(app.url, id, "disk.bin", { forwarded })).toMatch(
    /^https:\/\/dl\.example:8443\/download\//,
  );
  await app.stop();
});

test("with a public URL, links are below it, for any request", async () => {
  const app = await startTestApp({ settings: { publicUrl: "https://dl.example/vi/" } });
  const id = await openSession(app.url, await addItem(app.contentRoot, { "disk.bin": "content" }));
  const uri = await linkTo(app.url, id, "disk.bin", { "x-forwarded-host": "evil.example" });
  expect(uri).toMatch(/^https:\/\/dl\.example\/vi\/download\//);
  // The proxy may pass the path unchanged, or strip its own prefix.
  const { pathname, search } = new URL(uri);
  expect((await download("HTTP/1.1", app.url + pathname + search)).status).toBe(200);
  expect((await download("HTTP/1.1", app.url + pathname.slice(3) + search)).status).toBe(200);
  await app.stop();
});

test("pages of allowed origins may read the headers of an answer", async () => {
  const app = await startTestApp({ corsOrigins: "https://portal.example" });
  const id = await openSession(app.url, await addItem(app.contentRoot, { "disk.bin": "content" }));
  const uri = await linkTo(app.url, id, "disk.bin");
  const origin = "https://portal.example";
  const { headers } = await download("HTTP/1.1", uri, { headers: { origin, range: "bytes=0-1" } });
  expect(headers["access-control-allow-origin"]).toBe(origin);
  const exposed = String(headers["access-control-expose-headers"]).toLowerCase().split(",");
  expect(exposed).toEqual(
    expect.arrayContaining([
      "accept-ranges",
      "content-range",
      "etag",
      "repr-digest",
      "content-digest",
      "content-disposition",
    ]),
  );
  const preflight = await download("HTTP/1.1", uri, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "GET",
      "access-control-request-headers": "range,if-range",
    },
  });
  expect(preflight.status).toBe(204);
  expect(String(preflight.headers["access-control-allow-headers"]).toLowerCase()).toContain("range");
  await app.stop();
});
