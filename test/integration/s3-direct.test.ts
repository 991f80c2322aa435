import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { parse as parseDisposition } from "content-disposition";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { S3ContentSource } from "../../src/content/s3/s3-content-source.ts";
import { bytesOf, openCurrent } from "../support/content-files.ts";
import { eventually } from "../support/eventually.ts";
import { type Interference, type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import { s3ClientFor, type TestBucket, testBucket } from "../support/s3-server.ts";
import { tempDir } from "../support/temp-dir.ts";

// Not the server of the other tests: this one checks the signatures of requests for objects. It computes those of lists
// over `/images`, where AWS and the SDK sign `/images/`, so lists are not signed here. It has no types.
const S3rver = createRequire(import.meta.url)("@20minutes/s3rver") as new (
  options: object,
) => {
  run(): Promise<AddressInfo>;
  close(): Promise<void>;
};
const credentials = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" };

let server: InstanceType<typeof S3rver>;
let proxy: S3Proxy;
let bucket: TestBucket;
let removeAll: () => Promise<void>;
let source: S3ContentSource;

beforeAll(async () => {
  const directory = await tempDir();
  removeAll = directory.remove;
  const options = {
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory: directory.path,
    vhostBuckets: false,
  };
  server = new S3rver({ ...options, configureBuckets: [{ name: "images" }] });
  const url = `http://127.0.0.1:${(await server.run()).port}`;
  proxy = await startS3Proxy(url);
  bucket = testBucket(s3ClientFor(url, credentials), "images");
  // Its lists do not show folders that have nothing but folders in them.
  await bucket.put("a/lib/.library.json", "{}");
  await bucket.put("a/lib/item/.item.json", '{"id": "i"}');
  for (const name of [plain, difficult]) await bucket.put(`a/lib/item/${name}`, "content");
});
afterAll(async () => {
  await proxy.stop();
  await server.close();
  await removeAll();
});
beforeEach(async () => {
  useCredentials(credentials);
  interfere();
  source = await open();
});
afterEach(() => vi.unstubAllEnvs());

const plain = "disk 1+2.iso";
const difficult = "b\u00fccher 100% \ud83d\udcd6 (1).iso";
const open = () => S3ContentSource.open({ bucket: "images", prefix: "a/", endpoint: proxy.url });

function interfere(withHead: Interference = {}): void {
  proxy.interfere = ({ kind, headers }) => {
    if (kind === "list") delete headers.authorization;
    return kind === "head" ? withHead : undefined;
  };
}

function useCredentials(used: Readonly<Record<string, string>>): void {
  for (const [variable, value] of Object.entries(used)) vi.stubEnv(variable, value);
}

const versionNow = async () => (await source.item("i"))!.contentVersion;
const uriFor = async (lifetimeMs: number, name = plain) =>
  source.directUri("i", name, await versionNow(), lifetimeMs);

test("signatures are right, for ranges and for names of all kinds", async () => {
  for (const name of [plain, difficult]) {
    await using file = (await openCurrent(source, "i", name))!;
    expect(Buffer.from(await bytesOf(file)).toString()).toBe("content");
    expect(Buffer.from(await bytesOf(file, { start: 2, end: 4 })).toString()).toBe("nte");
  }
  useCredentials({ AWS_SECRET_ACCESS_KEY: "wrong" });
  await expect(open()).rejects.toThrow("bucket images can't be used: SignatureDoesNotMatch: ");
});

test("a direct URI gives the file, under its name, to a client without credentials", async () => {
  const answer = await fetch((await uriFor(60_000))!);
  expect(await answer.text()).toBe("content");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-disposition")).toBe(`attachment; filename="${plain}"`);
});

test("a direct URI asks for a name of any kind as RFC 6266 writes it", async () => {
  const uri = new URL((await uriFor(60_000, difficult))!);
  expect(decodeURIComponent(uri.pathname)).toBe(`/images/a/lib/item/${difficult}`);
  const disposition = parseDisposition(uri.searchParams.get("response-content-disposition")!);
  expect(disposition.type).toBe("attachment");
  expect(disposition.parameters.filename).toBe(difficult);
});

test.each([
  ["signature", /X-Amz-Signature=.{8}/, "X-Amz-Signature=01234567"],
  ["end", /X-Amz-Expires=60/, "X-Amz-Expires=61"],
  ["key", "/a/lib/item/", "/a/lib/item/."],
])("a direct URI with another %s gives nothing", async (_, part, other) => {
  const uri = (await uriFor(60_000))!;
  const changed = uri.replace(part, other);
  expect(changed).not.toBe(uri);
  const answer = await fetch(changed);
  expect(answer.status).toBe(403);
  expect(await answer.text()).toContain("SignatureDoesNotMatch");
});

test("a direct URI lives for whole seconds, no longer than requested, and a week at most", async () => {
  const secondsOf = async (lifetimeMs: number) => {
    const uri = await uriFor(lifetimeMs);
    return uri === undefined ? undefined : Number(new URL(uri).searchParams.get("X-Amz-Expires"));
  };
  for (const [lifetimeMs, seconds] of [
    [1_000, 1],
    [1_999, 1],
    [300_000, 300],
    [604_800_000, 604_800],
    [1e12, 604_800],
    [999, undefined],
    [0, undefined],
    [-5_000, undefined],
    [Number.NaN, undefined],
  ] as const) {
    expect(await secondsOf(lifetimeMs), `${lifetimeMs}`).toBe(seconds);
  }
  const uri = (await uriFor(1_000))!;
  await eventually("the URI to end", async () => (await fetch(uri)).status === 403);
});

test("there is no direct URI of a missing file, or of another version", async () => {
  const version = await versionNow();
  for (const [item, file, itsVersion] of [
    ["unknown", plain, version],
    ["i", "unknown", version],
    ["i", ".item.json", version],
    ["i", "../item/.item.json", version],
    ["i", plain, "0"],
  ] as const) {
    expect(await source.directUri(item, file, itsVersion, 60_000)).toBeUndefined();
  }
});

test("a direct URI names the version of the object in a bucket that keeps versions", async () => {
  const answerWith = (more: Readonly<Record<string, string>>) =>
    interfere({ headers: (headers) => ({ ...headers, ...more }) });
  const versionId = async () => new URL((await uriFor(60_000))!).searchParams.get("versionId");
  expect(await versionId()).toBeNull();
  answerWith({ "x-amz-version-id": "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY" });
  expect(await versionId()).toBe("3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY");
  answerWith({ "x-amz-version-id": "null" });
  expect(await versionId()).toBeNull();
  answerWith({ etag: '"another"' });
  expect(await uriFor(60_000)).toBeUndefined();
});
