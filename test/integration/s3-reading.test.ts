import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { limits } from "../../src/content/s3/client.ts";
import { S3ContentSource } from "../../src/content/s3/s3-content-source.ts";
import { ContentChangedError, type ContentFile } from "../../src/domain/content-source.ts";
import { bytesOf, openCurrent } from "../support/content-files.ts";
import { eventually } from "../support/eventually.ts";
import { startRecordingServer } from "../support/recording-server.ts";
import { type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import { type S3Server, s3Credentials, startS3Server, type TestBucket } from "../support/s3-server.ts";

const size = 8 * 1024 * 1024;
const content = randomBytes(size);
const unavailable = { name: "ServiceError", messageId: "downlease.content.unavailable" };

let server: S3Server;
let proxy: S3Proxy;
let bucket: TestBucket;
let file: ContentFile;

beforeAll(async () => {
  server = await startS3Server();
  proxy = await startS3Proxy(server.url);
});
afterAll(async () => {
  await proxy.stop();
  await server.stop();
});
beforeEach(async () => {
  for (const [name, value] of Object.entries(s3Credentials)) vi.stubEnv(name, value);
  proxy.interfere = undefined;
  bucket = await server.bucket();
  await bucket.put("lib/item/.item.json", '{"id": "i"}');
  await bucket.put("lib/item/disk", content);
  await bucket.put("lib/item/small", "small");
  const source = await S3ContentSource.open({ bucket: bucket.name, prefix: "", endpoint: proxy.url });
  file = (await openCurrent(source, "i", "disk"))!;
  proxy.exchanges.length = 0;
});
afterEach(async () => {
  await file.close();
  vi.unstubAllEnvs();
});

const ranges = () => proxy.exchanges.map(({ headers }) => headers.range);
const same = (bytes: Uint8Array, start = 0, end = size - 1) =>
  Buffer.compare(bytes, content.subarray(start, end + 1)) === 0;

test("a range is one request for one version, made by the first read", async () => {
  const reader = file.reader({ start: 1, end: size - 2 });
  expect(proxy.exchanges).toEqual([]);
  await reader.read(new Uint8Array(1));
  expect(ranges()).toEqual([`bytes=1-${size - 2}`]);
  expect(proxy.exchanges[0]?.headers["if-match"]).toMatch(/^"[0-9a-f]{32}"$/);
  expect(same(await bytesOf(file, { start: 1, end: size - 2 }), 1, size - 2)).toBe(true);
});

test("a connection is used again after a range was read to its end", async () => {
  for (let round = 0; round < 10; round++) await bytesOf(file, { start: 0, end: 99_999 });
  const ports = new Set(proxy.exchanges.map(({ port }) => port));
  expect(ports.size).toBeLessThan(4);
});

describe("a body that breaks", () => {
  test("is resumed where it stopped, any number of times while bytes come", async () => {
    proxy.interfere = ({ kind }) => (kind === "get" ? { cutAfter: 1_000_000 } : undefined);
    expect(same(await bytesOf(file))).toBe(true);
    const starts = ranges().map((range) => Number(/^bytes=(\d+)-8388607$/.exec(range!)?.[1]));
    expect(starts.length).toBeGreaterThan(8);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(starts.slice(1).every((start) => start > 0)).toBe(true);
    expect(new Set(proxy.exchanges.map(({ headers }) => headers["if-match"])).size).toBe(1);
  });

  test("is unavailable when it breaks again and again without a byte", async () => {
    proxy.interfere = ({ kind }) => (kind === "get" ? { cutAfter: 0 } : undefined);
    await expect(bytesOf(file)).rejects.toMatchObject(unavailable);
    expect(new Set(ranges()).size).toBe(1);
    expect(ranges().length).toBeLessThan(20);
  });

  test("is reported as a changed file when the object was replaced or removed", async () => {
    for (const change of [
      () => bucket.put("lib/item/disk", randomBytes(size)),
      () => bucket.put("lib/item/disk", "short"),
      () => bucket.remove("lib/item/disk"),
    ]) {
      await bucket.put("lib/item/disk", content);
      proxy.interfere = ({ kind }) => (kind === "get" ? { cutAfter: 1_000_000 } : undefined);
      const reader = file.reader();
      await reader.read(new Uint8Array(10));
      await change();
      const readOn = async () => {
        while ((await reader.read(new Uint8Array(65_536))) > 0);
      };
      await expect(readOn()).rejects.toThrow(ContentChangedError);
    }
  });

  test("is requested again after a while without bytes", async () => {
    let first = true;
    proxy.interfere = ({ kind }) => {
      if (kind !== "get" || !first) return undefined;
      first = false;
      return { stallAfter: 1_000_000 };
    };
    expect(same(await bytesOf(file))).toBe(true);
    expect(ranges()).toHaveLength(2);
  });

  test("is unavailable when the storage is gone", async () => {
    const reader = file.reader();
    await reader.read(new Uint8Array(10));
    proxy.interfere = () => ({ answer: { status: 500, code: "InternalError" } });
    const [exchange] = proxy.exchanges;
    exchange!.cut();
    const readOn = async () => {
      while ((await reader.read(new Uint8Array(65_536))) > 0);
    };
    await expect(readOn()).rejects.toMatchObject(unavailable);
  });
});

describe("a storage that is too busy, or fails", () => {
  const answers = [
    { status: 503, code: "SlowDown" },
    { status: 429 },
    { status: 500, code: "InternalError" },
  ];

  test.each(answers)("is asked again before the first byte: %j", async (answer) => {
    let refusals = 1;
    proxy.interfere = () => (refusals-- > 0 ? { answer } : undefined);
    expect(same(await bytesOf(file))).toBe(true);
    expect(proxy.exchanges).toHaveLength(2);
  });

  test("is unavailable when it refuses again and again", async () => {
    proxy.interfere = () => ({ answer: answers[2]! });
    await expect(bytesOf(file)).rejects.toMatchObject(unavailable);
    expect(proxy.exchanges).toHaveLength(limits.attempts);
  });

  test("is asked again in the middle for longer, because bytes have been sent already", async () => {
    let refusals = limits.attempts + 2;
    proxy.interfere = () => {
      if (proxy.exchanges.length === 1) return { cutAfter: 1_000_000 };
      return refusals-- > 0 ? { answer: answers[2]! } : undefined;
    };
    expect(same(await bytesOf(file))).toBe(true);
  });
});

describe("a host of the storage that is gone without a word", () => {
  test("costs one attempt, however many connections lead to it", async () => {
    const source = await S3ContentSource.open({ bucket: bucket.name, prefix: "", endpoint: proxy.url });
    const files = await Promise.all(Array.from({ length: 5 }, () => openCurrent(source, "i", "disk")));
    const read = (each: ContentFile | undefined) => bytesOf(each!, { start: 0, end: 999 });
    await Promise.all(files.map(read));
    const gone = new Set(proxy.exchanges.map(({ port }) => port));
    proxy.interfere = ({ port }) => ({ isSilent: gone.has(port) });
    const [bytes, item] = await Promise.all([read(files[0]), source.item("i")]);
    expect(bytes).toHaveLength(1_000);
    expect(item).toBeDefined();
    expect(gone.has(proxy.exchanges.at(-1)!.port)).toBe(false);
  });
});

describe("the SDK", () => {
  const signedFor = (part: number) =>
    proxy.exchanges.map(
      ({ headers }) => /Credential=([^,]+)/.exec(headers.authorization!)![1]!.split("/")[part],
    );

  test("corrects the clock by that of the storage", async () => {
    const aheadMs = 3_600_000;
    proxy.interfere = () => {
      if (proxy.exchanges.length > 1) return undefined;
      const headers = { date: new Date(Date.now() + aheadMs).toUTCString() };
      return { answer: { status: 403, code: "RequestTimeTooSkewed", headers } };
    };
    expect(same(await bytesOf(file))).toBe(true);
    const [first, second] = proxy.exchanges.map(({ headers }) => {
      const pattern = /^(....)(..)(..T..)(..)(..Z)$/;
      return Date.parse(String(headers["x-amz-date"]).replace(pattern, "$1-$2-$3:$4:$5"));
    });
    expect(second! - first!).toBeGreaterThan(aheadMs - 60_000);
  });

  test("signs for the region to which the storage redirects", async () => {
    const headers = { "x-amz-bucket-region": "eu-west-3" };
    proxy.interfere = () =>
      proxy.exchanges.length === 1
        ? { answer: { status: 301, code: "PermanentRedirect", headers } }
        : undefined;
    expect(same(await bytesOf(file))).toBe(true);
    expect(signedFor(2)).toEqual(["us-east-1", "eu-west-3"]);
  });

  test("fetches credentials again before they expire", async () => {
    let given = 0;
    await using metadata = await startRecordingServer("HTTP/1.1", (_, response) => {
      const Expiration = new Date(Date.now() + 60_000).toISOString();
      given += 1;
      response.end(
        JSON.stringify({ AccessKeyId: `KEY${given}`, SecretAccessKey: "s", Token: "t", Expiration }),
      );
    });
    for (const name of Object.keys(s3Credentials)) vi.stubEnv(name, undefined);
    vi.stubEnv("AWS_CONTAINER_CREDENTIALS_FULL_URI", `http://${metadata.address}/`);
    const source = await S3ContentSource.open({ bucket: bucket.name, prefix: "", endpoint: proxy.url });
    await using other = (await openCurrent(source, "i", "small"))!;
    proxy.exchanges.length = 0;
    for (let read = 0; read < 2; read++) await bytesOf(other);
    const [first, second] = signedFor(0);
    expect(first).toMatch(/^KEY\d+$/);
    expect(second).not.toBe(first);
  });
});

describe("a storage server that ignores", () => {
  const forget = (name: "range" | "if-match") => {
    proxy.interfere = ({ kind, headers }) => {
      if (kind === "get") delete headers[name];
      return undefined;
    };
  };

  test("If-Match, never gives another version", async () => {
    forget("if-match");
    expect(same(await bytesOf(file))).toBe(true);
    await bucket.put("lib/item/disk", randomBytes(size));
    await expect(bytesOf(file)).rejects.toThrow(ContentChangedError);
  });

  test("ranges, never gives other bytes", async () => {
    forget("range");
    await expect(bytesOf(file, { start: 1, end: 10 })).rejects.toMatchObject(unavailable);
  });
});

describe("a reader", () => {
  test("fetches no more than is read, apart from what buffers hold", async () => {
    const reader = file.reader();
    await reader.read(new Uint8Array(100));
    const [exchange] = proxy.exchanges;
    const taken = await settled(() => exchange!.taken);
    expect(taken).toBeLessThan(size);
    expect(taken).toBeGreaterThan(0);
    while ((await reader.read(new Uint8Array(65_536))) > 0);
    expect(exchange!.taken).toBe(size);
  });

  test("ends its request when the file is closed, and a running read with it", async () => {
    proxy.interfere = ({ kind }) => (kind === "get" ? { stallAfter: 10 } : undefined);
    const [stalled, unread] = [file.reader(), file.reader()];
    await stalled.read(new Uint8Array(10));
    await unread.read(new Uint8Array(1));
    const reading = stalled.read(new Uint8Array(10));
    await file.close();
    await expect(reading).rejects.toThrow("the file is closed");
    await eventually("the requests to be over", () => proxy.exchanges.every(({ isAborted }) => isAborted));
    await expect(unread.read(new Uint8Array(1))).rejects.toThrow("the file is closed");
    await expect(file.reader().read(new Uint8Array(1))).rejects.toThrow("the file is closed");
    expect(proxy.exchanges).toHaveLength(2);
  });

  test("ends its request when the file is closed before there is an answer", async () => {
    proxy.interfere = () => ({ isSilent: true });
    const reading = file.reader().read(new Uint8Array(10));
    const refused = expect(reading).rejects.toThrow("the file is closed");
    await eventually("the request", () => proxy.exchanges.length === 1);
    await file.close();
    await refused;
  });

  test("does not wait for others: look-ups go on while a hundred bodies are held", async () => {
    proxy.interfere = ({ path }) => (path.endsWith("/small") ? { stallAfter: 2 } : undefined);
    const source = await S3ContentSource.open({ bucket: bucket.name, prefix: "", endpoint: proxy.url });
    await using other = (await openCurrent(source, "i", "small"))!;
    const readers = Array.from({ length: 100 }, () => other.reader());
    await Promise.all(readers.map((reader) => reader.read(new Uint8Array(2))));
    expect(await source.item("i")).toBeDefined();
  });
});

/** The value of a number once it has stopped growing. */
async function settled(look: () => number): Promise<number> {
  let last = -1;
  await eventually(
    "the number to stop growing",
    () => {
      const isStill = look() === last;
      last = look();
      return isStill;
    },
    { everyMs: 200 },
  );
  return last;
}
