import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Session } from "../../src/domain/session.ts";
import { type Begun, begin, download, type Version } from "../support/download.ts";
import { type DownloadRig, type DownloadRigOptions, downloadRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";

/** More than a connection takes in while nobody reads. */
const bytes = Buffer.alloc(24 * 1024 * 1024, "x");

let rig: DownloadRig;
let begun: Begun[];

beforeEach(() => {
  begun = [];
});
afterEach(() => rig.stop());

async function start(options: DownloadRigOptions): Promise<void> {
  rig = await downloadRig(options);
  await rig.addFile("disk.bin", bytes);
}

interface From {
  readonly version?: Version;
  readonly address?: string;
}

/** Requests the file so many times and reads nothing of it; returns the refusals. */
async function readSlowly(session: Session, times: number, from: From = {}) {
  const { version = "HTTP/1.1", address = "192.0.2.1" } = from;
  const url = rig.url + rig.link(session, "disk.bin");
  const answers = await Promise.all(
    Array.from({ length: times }, () => begin(version, url, { headers: { "x-forwarded-for": address } })),
  );
  const refused = await Promise.all(
    answers.filter(({ status }) => status !== 200).map((answer) => answer.finish()),
  );
  for (const answer of answers) answer.body.on("error", () => {});
  begun.push(...answers.filter(({ status }) => status === 200));
  return refused.map(({ status, headers, body }) => ({
    status,
    retryAfter: headers["retry-after"],
    id: JSON.parse(body.toString()).messages[0].id,
  }));
}

const refusal = (id: string) => ({ status: 503, retryAfter: "5", id });

describe.each<Version>(["HTTP/1.1", "HTTP/2"])("slow readers over %s", (version) => {
  test("of one link leave places to other sessions, also of the same client", async () => {
    await start({ limit: 10 });
    const slow = await rig.open();
    const refusals = await readSlowly(slow, 20, { version });
    expect(refusals).toEqual(Array(15).fill(refusal("downlease.download.session_share")));
    const part = await download(version, rig.url + rig.link(await rig.open(), "disk.bin"), {
      headers: { range: "bytes=0-10", "x-forwarded-for": "192.0.2.1" },
    });
    expect([part.status, part.body.length]).toEqual([206, 11]);
    expect(begun).toHaveLength(5);
    // While every caller is anonymous, no session has an owner.
    expect(await readSlowly(await rig.open(), 2, { version })).toEqual([]);
    for (const each of begun) each.abort();
    await eventually("the places to be free", () => rig.shares.size === 0 && rig.running === 0);
    expect(rig.admission.load).toBe(0);
  });
});

describe("slow readers", () => {
  test("of one principal leave places to others at the same address, and these to other addresses", async () => {
    await start({ limit: 10, hasOwners: true });
    await readSlowly(await rig.open("alice"), 5);
    const more = await readSlowly(await rig.open("alice"), 3, { address: "192.0.2.2" });
    expect(more).toEqual(Array(2).fill(refusal("downlease.download.principal_share")));
    const neighbour = await readSlowly(await rig.open("bob"), 1, { address: "192.0.2.2" });
    expect(neighbour).toEqual([]);
    await readSlowly(await rig.open("carol"), 1);
    expect(await readSlowly(await rig.open("dave"), 1)).toEqual([
      refusal("downlease.download.address_share"),
    ]);
    expect(await readSlowly(await rig.open("dave"), 3, { address: "2001:db8::1" })).toEqual(
      Array(2).fill(refusal("downlease.download.overloaded")),
    );
    // The same network as before.
    expect(await readSlowly(await rig.open("erin"), 1, { address: "2001:db8::2" })).toEqual([
      refusal("downlease.download.overloaded"),
    ]);
  });

  test("keep nobody from what sends no bytes of a file", async () => {
    await start({ limit: 1 });
    const session = await rig.open();
    await readSlowly(session, 1);
    const url = rig.url + rig.link(session, "disk.bin");
    const head = await download("HTTP/1.1", url, { method: "HEAD" });
    expect([head.status, head.headers["content-length"]]).toEqual([200, String(bytes.length)]);
    const statusWith = async (headers: Record<string, string>) =>
      (await download("HTTP/1.1", url, { headers })).status;
    expect(await statusWith({ "if-none-match": head.headers.etag! })).toBe(304);
    expect(await statusWith({ range: `bytes=${bytes.length}-` })).toBe(416);
    expect(await statusWith({})).toBe(503);
  });
});

test("a downloader with many connections gets all of them while there is no other", async () => {
  await start({ limit: 100 });
  const session = await rig.open();
  expect(await readSlowly(session, 16)).toEqual([]);
  expect(await readSlowly(await rig.open(), 16)).toEqual([]);
});

test("what a proxy sends takes no place", async () => {
  await start({
    limit: 1,
    offload: { to: "nginx", prefix: "/_content/" },
    content: (source) => ({
      openFile: async (itemId, name, version) => {
        const file = (await source.openFile(itemId, name, version))!;
        const { size, version: fileVersion } = file;
        const ofStorage = {
          ...{ size, version: fileVersion },
          reader: file.reader.bind(file),
          close: () => file.close(),
          [Symbol.asyncDispose]: () => file.close(),
        };
        return name === "disk.bin" ? ofStorage : file;
      },
    }),
  });
  await rig.addFile("offloaded.bin", "x");
  const session = await rig.open();
  await readSlowly(session, 1);
  const { status, headers } = await download("HTTP/1.1", rig.url + rig.link(session, "offloaded.bin"));
  expect([status, headers["x-accel-redirect"]]).toEqual([200, "/_content/lib/item/offloaded.bin"]);
});

test("links that are being looked up count among the calls in flight", async () => {
  const opening = Promise.withResolvers<void>();
  let opened = 0;
  await start({
    maxLookUps: 2,
    content: (source) => ({
      openFile: async (itemId, name, version) => {
        opened++;
        await opening.promise;
        return source.openFile(itemId, name, version);
      },
    }),
  });
  const url = rig.url + rig.link(await rig.open(), "disk.bin");
  const waiting = [begin("HTTP/1.1", url), begin("HTTP/1.1", url)];
  await eventually("two links to be looked up", () => opened === 2);
  const refused = await download("HTTP/1.1", url);
  expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "1"]);
  expect(refused.body.toString()).toContain("downlease.server.overloaded");
  const wrong = await download("HTTP/1.1", `${url}x`);
  expect(wrong.status).toBe(404);
  opening.resolve();
  for (const { status } of await Promise.all(waiting)) expect(status).toBe(200);
  expect(rig.admission.load).toBe(0);
  expect((await download("HTTP/1.1", url, { method: "HEAD" })).status).toBe(200);
});
