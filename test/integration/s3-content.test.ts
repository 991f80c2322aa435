import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { S3ContentSource } from "../../src/content/s3/s3-content-source.ts";
import { filesOf, openCurrent, textOf } from "../support/content-files.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { type Exchange, type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import {
  type S3Server,
  s3ClientFor,
  s3Credentials,
  startS3Server,
  type TestBucket,
} from "../support/s3-server.ts";

let server: S3Server;
let proxy: S3Proxy;
let bucket: TestBucket;
let warnings: string[];

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
  bucket = await server.bucket();
  warnings = [];
  proxy.interfere = undefined;
  proxy.exchanges.length = 0;
});
afterEach(() => vi.unstubAllEnvs());

const place = () => ({ bucket: bucket.name, prefix: "", endpoint: proxy.url });
const open = (more: object = {}) =>
  S3ContentSource.open({ ...place(), warn: (message) => warnings.push(message), ...more });
const put = (key: string, content = "x") => bucket.put(key, content);
const putItem = async (item: string, id: string) => {
  await put(`${item}/.item.json`, JSON.stringify({ id }));
  await put(`${item}/data`, `data of ${id}`);
};

/** Puts many objects, a few at a time. */
async function putMany(count: number, key: (index: number) => string): Promise<void> {
  for (let start = 0; start < count; start += 50) {
    await Promise.all(
      Array.from({ length: Math.min(50, count - start) }, (_, index) => put(key(start + index))),
    );
  }
}

/** The requests that `work` causes. */
async function requestsOf(work: () => Promise<unknown>): Promise<readonly Exchange[]> {
  proxy.exchanges.length = 0;
  await work();
  return [...proxy.exchanges];
}

const number = (index: number) => String(index).padStart(5, "0");

describe("more than a page of keys", () => {
  test("of an item, a library and a bucket are all read", async () => {
    await putMany(1_100, (index) => `lib/item/file-${number(index)}`);
    await put("lib/jtem/file");
    await putMany(1_001, (index) => `of-many-${number(index)}/item/file`);
    const source = await open();
    const libraries = await source.libraries();
    expect(libraries).toHaveLength(1_002);
    const { id } = libraries.find(({ name }) => name === "lib")!;
    const [item, other] = (await source.items(id))!;
    expect(other?.name).toBe("jtem");
    expect(await filesOf(source, item!.id)).toHaveLength(1_100);
    expect((await source.item(item!.id))?.size).toBe(1_100);
  });

  test("below a folder of an item are skipped at once, and later keys are still read", async () => {
    await putItem("lib/item", "i");
    await putMany(2_100, (index) => `lib/item/folder/deep/${number(index)}`);
    await putItem("lib/jtem", "j");
    const lists = await requestsOf(open);
    expect(lists.filter(({ kind }) => kind === "list").length).toBe(3);
    const source = await open();
    expect((await source.items())?.map(({ id }) => id)).toEqual(["i", "j"]);
    expect(await filesOf(source, "i")).toHaveLength(1);
  });
});

describe("the requests of a look-up", () => {
  test("are two lists, however many items there are, and metadata is read once", async () => {
    await putItem("lib/item", "i");
    await putMany(1_000, (index) => `lib/item-${number(index)}/file`);
    const source = await open();
    const kinds = async (work: () => Promise<unknown>) => (await requestsOf(work)).map(({ kind }) => kind);
    expect(await kinds(() => source.item("i"))).toEqual(["list", "list"]);
    expect(await kinds(() => filesOf(source, "i"))).toEqual(["list", "list"]);
    await put("lib/item/a.mf", `SHA1(data)= ${"a".repeat(40)}\n`);
    expect((await kinds(() => filesOf(source, "i"))).sort()).toEqual(["get", "list", "list"]);
    expect(await kinds(() => filesOf(source, "i"))).toEqual(["list", "list"]);
  });

  test("of a flood of unknown ids and of lists do not scan the bucket each time", async () => {
    await putMany(200, (index) => `lib/item-${number(index)}/file`);
    const source = await open();
    const flood = await requestsOf(async () => {
      for (let n = 0; n < 200; n++) {
        const [item, library, items] = await Promise.all([
          source.item(`no-${n}`),
          source.library(`no-${n}`),
          source.items(),
        ]);
        expect([item, library, items?.length]).toEqual([undefined, undefined, 200]);
      }
    });
    expect(flood.length).toBeLessThan(100);
  });

  test("see nothing outside of the prefix", async () => {
    await putItem("images/released/lib/item", "i");
    await putItem("images/released-not/lib/item", "n");
    await putItem("lib/item", "o");
    const source = await open({ prefix: "images/released/" });
    expect((await source.items())?.map(({ id }) => id)).toEqual(["i"]);
    expect(await textOf(source, "i", "data")).toBe("data of i");
  });
});

describe("keys that are not content", () => {
  test("are left out, with one warning each", async () => {
    await putItem("lib/item", "i");
    for (const key of [
      "/lib/item/file",
      "lib//item/file",
      "lib/item//file",
      "../item/file",
      "lib/../file",
      "lib/item/..",
      "lib/item/.",
      "lib/item/two\nlines",
      "lib/bell\u0007/file",
      "tab\t/item/file",
      `lib/item/${"x".repeat(1_015)}`,
      `${"y".repeat(1_024)}`,
      `${"z".repeat(300)}/item/file`,
      "lib/item/folder/nested",
      "lib/file",
      "file",
      ".hidden/item/file",
      "lib/.hidden/file",
      "lib/item/.hidden",
      "lib/item/",
      "lib/",
    ]) {
      await put(key);
    }
    const source = await open();
    for (let round = 0; round < 3; round++) {
      expect((await source.libraries()).map(({ name }) => name)).toEqual(["lib"]);
      expect((await source.items())?.map(({ name }) => name)).toEqual(["item"]);
      expect((await filesOf(source, "i"))?.map(({ name }) => name)).toEqual(["data"]);
    }
    const name = "its name is not 1 to 256 bytes of UTF-8 without control characters";
    const dots = "its name stands for another place";
    expect(warnings.sort()).toEqual(
      [
        `"" is left out: ${name}`,
        `".." is left out: ${dots}`,
        `"lib/" is left out: ${name}`,
        `"lib/.." is left out: ${dots}`,
        `"lib/bell\\u0007" is left out: ${name}`,
        `"lib/item/." is left out: ${dots}`,
        `"lib/item/.." is left out: ${dots}`,
        `"lib/item/two\\nlines" is left out: ${name}`,
        `"lib/item/${"x".repeat(1_015)}" is left out: ${name}`,
        `"tab\\t" is left out: ${name}`,
        `"${"z".repeat(300)}" is left out: ${name}`,
      ].sort(),
    );
  });

  test("of empty folders, which tools create, still make an item", async () => {
    await put("lib/empty/", "");
    const source = await open();
    const [item] = (await source.items())!;
    expect(await source.item(item!.id)).toMatchObject({ name: "empty", size: 0 });
    expect(await filesOf(source, item!.id)).toEqual([]);
  });
});

test("names of all kinds are listed and read, encoded or not", async () => {
  const names = ["b\u00fccher 1+2", "\ud83d\udcd6", "100%", "%41", "a&b<c>", "#?=;", "'\"", "e\u0301"];
  for (const name of names) await bucket.put(`${name}/${name}/${name}`, name);
  // S3 encodes names on request; the test server does not.
  const encoded = (text: string) =>
    text
      .replace(/<(Key|Prefix)>([^<]+)<\/\1>/g, (_, tag: string, value: string) => {
        const raw = value
          .replaceAll("&lt;", "<")
          .replaceAll("&gt;", ">")
          .replaceAll("&quot;", '"')
          .replaceAll("&apos;", "'")
          .replaceAll("&amp;", "&");
        return `<${tag}>${encodeURIComponent(raw).replaceAll("%20", "+").replaceAll("%2F", "/")}</${tag}>`;
      })
      .replace("<IsTruncated>", "<EncodingType>url</EncodingType><IsTruncated>");
  for (const isEncoded of [false, true]) {
    proxy.interfere = ({ kind }) => (isEncoded && kind === "list" ? { body: encoded } : undefined);
    const source = await open();
    const items = (await source.items())!;
    expect(items.map(({ name }) => name)).toEqual([...names].sort());
    for (const { id, name } of items) expect(await textOf(source, id, name)).toBe(name);
  }
});

describe("checksums", () => {
  const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  /** Adds what S3 lists of objects that were put with a checksum; the test server does not. */
  const announce = (type: string, algorithm = "SHA256") => {
    const elements = `<ChecksumAlgorithm>${algorithm}</ChecksumAlgorithm><ChecksumType>${type}</ChecksumType>`;
    proxy.interfere = ({ kind }) =>
      kind === "list"
        ? { body: (text) => text.replaceAll("</Contents>", `${elements}</Contents>`) }
        : undefined;
  };
  const checksums = async (source: S3ContentSource) =>
    (await filesOf(source, "i"))!.map(({ name, checksums }) => [name, checksums]);
  const putAbc = () =>
    bucket.put("lib/item/abc", "abc", {
      ChecksumSHA256: Buffer.from(sha256, "hex").toString("base64"),
    });

  beforeEach(() => put("lib/item/.item.json", '{"id": "i"}'));

  test("that the storage has of whole objects are listed, and requested once", async () => {
    await putAbc();
    announce("FULL_OBJECT");
    const source = await open();
    expect(await checksums(source)).toEqual([["abc", { SHA256: sha256 }]]);
    const again = await requestsOf(() => checksums(source));
    expect(again.map(({ kind }) => kind)).toEqual(["list", "list"]);
    await bucket.put("lib/item/abc", "new");
    expect(await checksums(source)).toEqual([["abc", undefined]]);
  });

  test("are not requested when the listing announces only algorithms that are of no use", async () => {
    await putAbc();
    for (const algorithm of ["CRC32", "CRC64NVME", "XXHASH64"]) {
      announce("FULL_OBJECT", algorithm);
      const source = await open();
      expect((await requestsOf(() => checksums(source))).filter(({ kind }) => kind === "head")).toEqual([]);
      expect(await checksums(source)).toEqual([["abc", undefined]]);
    }
  });

  test("of parts are ignored, and so are ETags", async () => {
    const client = s3ClientFor(server.url);
    const Key = "lib/item/abc";
    const ofUpload = { Bucket: bucket.name, Key };
    const { UploadId } = await client.send(
      new CreateMultipartUploadCommand({ ...ofUpload, ChecksumAlgorithm: "SHA256" }),
    );
    const part = { ...ofUpload, UploadId, PartNumber: 1 };
    const { ETag, ChecksumSHA256 } = await client.send(
      new UploadPartCommand({ ...part, Body: "abc", ChecksumAlgorithm: "SHA256" }),
    );
    const Parts = [{ PartNumber: 1, ETag, ChecksumSHA256 }];
    await client.send(
      new CompleteMultipartUploadCommand({ ...ofUpload, UploadId, MultipartUpload: { Parts } }),
    );
    client.destroy();
    await bucket.put("lib/item/plain", "abc");
    for (const type of ["COMPOSITE", "FULL_OBJECT"]) {
      announce(type);
      expect(await checksums(await open())).toEqual([
        ["abc", undefined],
        ["plain", undefined],
      ]);
    }
    expect(await textOf(await open(), "i", "abc")).toBe("abc");
  });

  test("of a manifest take precedence over the storage's, which may be forbidden to read", async () => {
    await putAbc();
    await put("lib/item/a.mf", `SHA256(abc)= ${"1".repeat(64)}\n`);
    announce("FULL_OBJECT");
    expect((await checksums(await open()))[1]).toEqual(["abc", { SHA256: "1".repeat(64) }]);
    await bucket.remove("lib/item/a.mf");
    const announced = proxy.interfere!;
    proxy.interfere = (exchange) =>
      exchange.kind === "head" ? { answer: { status: 403 } } : announced(exchange);
    expect(await checksums(await open())).toEqual([["abc", undefined]]);
  });
});

describe("a bucket that can't be used", () => {
  const started = (more: object = {}) => open(more).then(() => "started");

  test("is named at the start, with the error of the storage", async () => {
    await expect(started({ bucket: "no-such-bucket" })).rejects.toThrow(
      /^bucket no-such-bucket can't be used: NoSuchBucket: /,
    );
    proxy.interfere = () => ({ answer: { status: 403, code: "AccessDenied" } });
    await expect(started()).rejects.toThrow(`bucket ${bucket.name} can't be used: AccessDenied: so it is`);
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    await expect(started({ endpoint })).rejects.toThrow(/can't be used: .*ECONNREFUSED/);
  });

  test("is named at the start when there are no credentials, or no region", async () => {
    for (const name of Object.keys(s3Credentials)) vi.stubEnv(name, "");
    const nothing = "/dev/null";
    for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) vi.stubEnv(name, nothing);
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
    vi.stubEnv("AWS_REGION", "");
    await expect(started()).rejects.toThrow(/can't be used: CredentialsProviderError: Could not load cred/);
    await expect(started({ endpoint: undefined })).rejects.toThrow(/can't be used: .*[Rr]egion/);
  });

  const unavailable = { name: "ServiceError", messageId: "downlease.content.unavailable" };
  test.each([
    { status: 403, code: "AccessDenied" },
    { status: 404, code: "NoSuchBucket" },
    { status: 500, code: "InternalError" },
    { status: 200, code: "InternalError" },
  ])("later makes the source unavailable, not empty: $status $code", async ({ status, code }) => {
    await putItem("lib/item", "i");
    const source = await open();
    const [library] = await source.libraries();
    const { contentVersion } = (await source.item("i"))!;
    proxy.interfere = () => ({ answer: { status, code } });
    for (const call of [
      () => source.item("i"),
      () => filesOf(source, "i"),
      () => source.openFile("i", "data", contentVersion),
      () => source.directUri("i", "data", contentVersion, 60_000),
      () => source.library(library!.id),
    ]) {
      await expect(call()).rejects.toMatchObject(unavailable);
    }
    await eventually(
      "unknown ids and lists to be unavailable",
      async () => {
        await expect(source.item("unknown")).rejects.toMatchObject(unavailable);
        await expect(source.items()).rejects.toMatchObject(unavailable);
        return true;
      },
      { withinMs: 15_000 },
    );
    proxy.interfere = undefined;
    expect(await source.item("i")).toBeDefined();
  });

  test("is unavailable when the storage does not answer", async () => {
    await putItem("lib/item", "i");
    const source = await open();
    proxy.interfere = () => ({ isSilent: true });
    const calls = [source.item("i"), filesOf(source, "i"), open()];
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason.message)).toEqual([
      "The content library can't be read. Try again.",
      "The content library can't be read. Try again.",
      expect.stringMatching(/can't be used: /),
    ]);
  });

  test("is used in spite of failed requests that can be retried", async () => {
    await putItem("lib/item", "i");
    const source = await open();
    let failures = 0;
    proxy.interfere = () => (failures++ % 3 < 1 ? { answer: { status: 503, code: "SlowDown" } } : undefined);
    expect(await textOf(source, "i", "data")).toBe("data of i");
    expect(failures).toBeGreaterThan(3);
  });

  test("because of one object is used without that object", async () => {
    await putItem("lib/item", "i");
    await putItem("lib/locked", "l");
    proxy.interfere = ({ kind, path }) =>
      kind === "get" && path.endsWith("/locked/.item.json")
        ? { answer: { status: 403, code: "AccessDenied" } }
        : undefined;
    const source = await open();
    expect((await source.items())?.map(({ id }) => id)).toEqual(["i"]);
    expect(warnings).toEqual(['"lib/locked" is left out: .item.json is broken (it may not be read)']);
    await using file = await openCurrent(source, "i", "data");
    proxy.interfere = () => ({ answer: { status: 403, code: "AccessDenied" } });
    await expect(file!.reader().read(new Uint8Array(9))).rejects.toMatchObject(unavailable);
  });
});
