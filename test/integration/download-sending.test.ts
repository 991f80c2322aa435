import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect as connect2 } from "node:http2";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Session } from "../../src/domain/session.ts";
import { begin, download, type Version } from "../support/download.ts";
import { type DownloadRig, downloadRig, sha256 } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { rawConnection } from "../support/raw-connection.ts";

const bytes = randomBytes(1_000_003);
const digests = { SHA256: sha256(bytes), SHA512: createHash("sha512").update(bytes).digest("hex") };
const digestField = [
  `sha-256=:${Buffer.from(digests.SHA256, "hex").toString("base64")}:`,
  `sha-512=:${Buffer.from(digests.SHA512, "hex").toString("base64")}:`,
].join(", ");
const strangeName = "naïve “disk” €.bin";

let rig: DownloadRig;
let session: Session;
beforeAll(async () => {
  rig = await downloadRig({
    leaseMs: 600_000,
    pathPrefix: "/vi",
    preparations: {
      find: async (files) =>
        files.map(({ fileName }) =>
          fileName === "disk.bin" ? { status: "PREPARED" as const, digests } : undefined,
        ),
    },
  });
  await rig.addFile("disk.bin", bytes);
  // More than is ever in flight.
  await rig.addFile("large.bin", Buffer.alloc(2 ** 25, "large"));
  await rig.addFile("empty.bin", "");
  await rig.addFile(strangeName, "strange");
  session = await rig.open();
});
afterAll(() => rig.stop());

const urlOf = (fileName: string) => rig.url + rig.link(session, fileName);
const versions: Version[] = ["HTTP/1.1", "HTTP/2"];

describe.each(versions)("over %s", (version) => {
  const get = (headers: Record<string, string> = {}, fileName = "disk.bin", method = "GET") =>
    download(version, urlOf(fileName), { method, headers });

  test("a whole file", async () => {
    const { status, headers, body, isWhole } = await get({ "x-request-id": "r-1" });
    expect({ status, isWhole }).toEqual({ status: 200, isWhole: true });
    expect(body.equals(bytes)).toBe(true);
    const { date, connection, "keep-alive": _, etag, ...rest } = headers;
    expect(etag).toMatch(/^"[\w-]+"$/);
    expect({ ...rest }).toEqual({
      "accept-ranges": "bytes",
      "cache-control": "private, no-cache, no-transform",
      "content-digest": digestField,
      "content-disposition": expect.stringMatching(/^attachment; filename="?disk\.bin"?$/),
      "content-length": String(bytes.length),
      "content-type": "application/octet-stream",
      "repr-digest": digestField,
      "x-content-type-options": "nosniff",
      "x-request-id": "r-1",
    });
  });

  test("HEAD has the same headers without the bytes, except the digest of the content", async () => {
    const [{ headers: got }, head] = await Promise.all([get(), get({}, "disk.bin", "HEAD")]);
    expect({ status: head.status, length: head.body.length }).toEqual({ status: 200, length: 0 });
    for (const name of [
      "content-length",
      "etag",
      "repr-digest",
      "content-disposition",
      "accept-ranges",
      "content-type",
    ]) {
      expect(head.headers[name]).toBe(got[name]);
    }
    expect(head.headers["content-digest"]).toBeUndefined();
    const ranged = await get({ range: "bytes=0-1" }, "disk.bin", "HEAD");
    expect([ranged.status, ranged.headers["content-length"]]).toEqual([200, String(bytes.length)]);
  });

  test("any range has the bytes of a slice", async () => {
    const position = fc.integer({ min: 0, max: bytes.length + 10 });
    const optional = fc.option(position, { nil: undefined });
    await fc.assert(
      fc.asyncProperty(optional, optional, async (start, end) => {
        fc.pre((start !== undefined || end !== undefined) && !(start! > end!));
        const answer = await get({ range: `bytes=${start ?? ""}-${end ?? ""}` });
        const first = start ?? Math.max(0, bytes.length - end!);
        const expected = bytes.subarray(
          first,
          start === undefined || end === undefined ? undefined : end + 1,
        );
        if (expected.length === 0) {
          expect([answer.status, answer.headers["content-range"]]).toEqual([416, `bytes */${bytes.length}`]);
          expect(answer.body.length).toBe(0);
          return;
        }
        expect(answer.status).toBe(206);
        expect(answer.body.equals(expected)).toBe(true);
        const last = first + expected.length - 1;
        expect(answer.headers).toMatchObject({
          "content-range": `bytes ${first}-${last}/${bytes.length}`,
          "content-length": String(expected.length),
          "repr-digest": digestField,
        });
        expect(answer.headers["content-digest"]).toBeUndefined();
      }),
      {
        numRuns: 40,
        examples: [
          [0, undefined],
          [undefined, 1],
          [bytes.length, undefined],
          [0, 0],
        ],
      },
    );
  });

  test.each(["bytes=0-1,5-6", "bytes=2-1", "lines=0-1", "bytes=x"])(
    "a range %s is ignored",
    async (range) => {
      const { status, body } = await get({ range });
      expect([status, body.equals(bytes)]).toEqual([200, true]);
    },
  );

  test("a download continues where it was cut, unless the file is another one", async () => {
    const { headers } = await get({}, "disk.bin", "HEAD");
    const range = "bytes=1000000-";
    expect((await get({ range, "if-range": headers.etag! })).status).toBe(206);
    expect((await get({ range, "if-range": '"other"' })).status).toBe(200);
  });

  test("conditions", async () => {
    const { headers } = await get({}, "disk.bin", "HEAD");
    const etag = headers.etag!;
    const unchanged = await get({ "if-none-match": etag });
    expect([unchanged.status, unchanged.body.length, unchanged.headers.etag]).toEqual([304, 0, etag]);
    expect(unchanged.headers["content-length"]).toBeUndefined();
    const failed = await get({ "if-match": '"other"' });
    expect([failed.status, failed.body.length]).toEqual([412, 0]);
  });

  test("an empty file", async () => {
    const { status, headers, body, isWhole } = await get({}, "empty.bin");
    expect([status, headers["content-length"], body.length, isWhole]).toEqual([200, "0", 0, true]);
    expect((await get({ range: "bytes=0-" }, "empty.bin")).headers["content-range"]).toBe("bytes */0");
    expect((await get({ range: "bytes=-1" }, "empty.bin")).status).toBe(200);
  });

  test("a name that is not ASCII", async () => {
    const { status, headers, body } = await get({}, strangeName);
    expect([status, body.toString()]).toEqual([200, "strange"]);
    expect(headers["content-disposition"]).toContain(
      "filename*=UTF-8''na%C3%AFve%20%E2%80%9Cdisk%E2%80%9D%20%E2%82%AC.bin",
    );
    // It has no digest yet.
    expect(headers["repr-digest"]).toBeUndefined();
    expect(headers["content-digest"]).toBeUndefined();
  });

  test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])(
    "%s is not allowed",
    async (method) => {
      const { status, headers } = await get({}, "disk.bin", method);
      expect([status, headers.allow]).toEqual([405, "GET, HEAD"]);
    },
  );

  test("below the path of the public URL as well", async () => {
    const { status } = await download(version, `${rig.url}/vi${rig.link(session, "disk.bin")}`);
    expect(status).toBe(200);
    expect((await download(version, `${rig.url}/vj${rig.link(session, "disk.bin")}`)).status).toBe(418);
  });
});

describe("a link that is not open", () => {
  const refusal = async (path: string) => {
    const connection = await rawConnection(rig.port);
    connection.socket.write(
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-ID: r\r\n\r\n`,
    );
    const answer = await connection.closed;
    return answer.replace(/Date: .*\r\n/i, "");
  };

  test("has the same answer for every reason", async () => {
    const good = rig.link(session, "disk.bin");
    const [path, query] = good.split("?");
    const other = await rig.open();
    const canceled = await rig.open();
    const failed = await rig.open();
    const deleted = await rig.open();
    await rig.sessions.finish(canceled.id, rig.caller, "CANCELED");
    await rig.sessions.finish(failed.id, rig.caller, "ERROR", "why");
    await rig.sessions.delete(deleted.id, rig.caller);
    const bad = [
      rig.link(canceled, "disk.bin"),
      rig.link(failed, "disk.bin"),
      rig.link(deleted, "disk.bin"),
      rig.link({ ...session, id: crypto.randomUUID() }, "disk.bin"),
      rig.link({ ...session, contentVersion: "other" }, "disk.bin"),
      rig.link(session, "none.bin"),
      rig.link(session, ".item.json"),
      rig.link(session, "../item/disk.bin"),
      rig.link(session, ".."),
      rig.link(session, "disk.bin\0"),
      rig.link(session, "x".repeat(3_000)),
      good.replace(session.id, other.id),
      good.replace("disk.bin", "empty.bin"),
      good.replace("disk.bin", "..%2fdisk.bin"),
      good.replace("disk.bin", "%2e%2e/disk.bin"),
      good.replace("disk.bin", "disk.bin%00"),
      good.replace("disk.bin", "%zz"),
      good.replace(/s=.*/, "s=AAAA"),
      good.replace("k=k1", "k=other"),
      path!,
      `${path}?${query}&${query}`,
      `${path}?${"v=1&".repeat(2_500)}`,
      "/download/",
      "/download//",
      "/download/?",
      `/download/${"a/".repeat(1_000)}`,
    ];
    const expected = await refusal("/download/x/y");
    expect(expected).toMatch(/^HTTP\/1.1 404 /);
    expect(expected).toContain("cache-control: no-store");
    expect(expected).toContain('"error_type":"NOT_FOUND"');
    for (const wrong of bad) expect([wrong, await refusal(wrong)]).toEqual([wrong, expected]);
  });

  test("costs the store nothing while the signature is wrong", async () => {
    const { get } = rig.sessions;
    let calls = 0;
    rig.sessions.get = (...args) => {
      calls++;
      return get.apply(rig.sessions, args);
    };
    try {
      await refusal(rig.link(session, "disk.bin").replace(/s=.*/, "s=AAAA"));
      expect(calls).toBe(0);
      await refusal(rig.link(session, "none.bin"));
      expect(calls).toBe(1);
    } finally {
      rig.sessions.get = get;
    }
  });

  test("is no body for HEAD, with the length of one", async () => {
    const { status, body, headers } = await download("HTTP/1.1", `${rig.url}/download/x/y`, {
      method: "HEAD",
    });
    expect([status, body.length]).toEqual([404, 0]);
    expect(Number(headers["content-length"])).toBeGreaterThan(0);
  });
});

test("other paths are left to other handlers", async () => {
  for (const path of ["/", "/download", "/downloads/x", "/x/download/y"]) {
    expect((await fetch(rig.url + path)).status).toBe(418);
  }
});

test("one connection serves one request after the other, sent ahead or not, with bodies or without", async () => {
  const connection = await rawConnection(rig.port);
  const path = rig.link(session, strangeName);
  const requests = [
    `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nxxxxx`,
    `HEAD ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n`,
    `GET /download/x/y HTTP/1.1\r\nHost: a\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  ];
  connection.socket.write(requests.join(""));
  const answers = (await connection.closed).split(/(?=HTTP\/1\.1 \d)/);
  expect(answers.map((answer) => answer.slice(9, 12))).toEqual(["200", "200", "200", "206", "404", "200"]);
  expect(answers.map((answer) => answer.split("\r\n\r\n")[1]).filter((_, index) => index !== 4)).toEqual([
    "strange",
    "strange",
    "",
    "tr",
    "strange",
  ]);
});

test("HTTP/1.0 gets whole files", async () => {
  const connection = await rawConnection(rig.port);
  connection.socket.write(`GET ${rig.link(session, strangeName)} HTTP/1.0\r\n\r\n`);
  expect(await connection.closed).toMatch(/^HTTP\/1\.1 200 [\s\S]*content-length: 7[\s\S]*\r\n\r\nstrange$/);
});

test("many downloads share a connection of HTTP/2", async () => {
  const client = connect2(rig.url);
  const path = rig.link(session, "disk.bin");
  const sums = Array.from({ length: 100 }, async () => {
    const stream = client.request({ ":path": path });
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(stream, "end");
    return sha256(Buffer.concat(chunks));
  });
  expect(new Set(await Promise.all(sums))).toEqual(new Set([digests.SHA256]));
  client.close();
});

const openFiles = () => readdirSync("/proc/self/fd").length;

test("clients that go away at any time leave nothing behind", async () => {
  const before = openFiles();
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      versions.flatMap((version) =>
        Array.from({ length: 5 }, async () => {
          const { body, abort } = await begin(version, urlOf("large.bin"));
          body.on("error", () => {}).once("data", abort);
          await new Promise((resolve) => body.once("close", resolve));
        }),
      ),
    );
  }
  await eventually("downloads to end", () => rig.running === 0);
  await eventually("files and sockets to be closed", () => openFiles() <= before);
  expect(rig.records.filter(({ outcome }) => outcome === "client_gone").length).toBeGreaterThan(100);
});
