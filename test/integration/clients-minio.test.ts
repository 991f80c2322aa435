import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { S3ContentSource } from "../../src/content/s3/s3-content-source.ts";
import { contentSourceContract } from "../contract/content-source.ts";
import { contentFilesContract } from "../contract/content-source-files.ts";
import { s3Storage } from "../contract/content-source-s3.ts";
import { minio as tool } from "../support/client-tools.ts";
import { bytesOf, openCurrent } from "../support/content-files.ts";
import { eventually } from "../support/eventually.ts";
import { type Minio, startMinio } from "../support/minio.ts";
import { reasonAgainstTools } from "../support/peer-tools.ts";
import { s3Credentials, type TestBucket } from "../support/s3-server.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

const reason = reasonAgainstTools([tool]);
if (reason !== undefined) process.stdout.write(`skipped, ${reason}: test/integration/clients-minio\n`);

// MinIO as content source: what the port promises, and what is signed for others.
describe.skipIf(reason !== undefined)("MinIO", () => {
  let minio: Minio;
  beforeAll(async () => {
    minio = await startMinio();
  }, 90_000);
  afterAll(() => minio[Symbol.asyncDispose]());

  for (const isVersioned of [false, true]) {
    const storage = () =>
      s3Storage(async () => {
        // Goes down by itself.
        const proxy = await startTcpProxy(minio.ports[0]!);
        return {
          url: `http://127.0.0.1:${proxy.port}`,
          bucket: () => minio.bucket({ isVersioned }),
          stop: async () => proxy[Symbol.asyncDispose](),
        };
      });
    const name = isVersioned ? "MinIO, versions" : "MinIO";
    contentSourceContract(name, storage);
    contentFilesContract(name, storage);
  }

  describe.each([
    ["plain", false],
    ["versioned", true],
  ])("a %s bucket", (_, isVersioned) => {
    let bucket: TestBucket;
    let source: S3ContentSource;
    const key = "lib/item/b\u00fccher 100% (1).iso";
    const name = key.slice("lib/item/".length);
    beforeAll(async () => {
      for (const [variable, value] of Object.entries(s3Credentials)) vi.stubEnv(variable, value);
      bucket = await minio.bucket({ isVersioned });
      await bucket.put("lib/item/.item.json", '{"id": "i"}');
      source = await S3ContentSource.open({ bucket: bucket.name, endpoint: minio.url, prefix: "" });
    });
    afterAll(() => vi.unstubAllEnvs());

    const signed = async (lifetimeMs = 60_000) => {
      await using file = await openCurrent(source, "i", name);
      return (await file!.directUri!(lifetimeMs))!;
    };
    const get = async (uri: string, headers: Record<string, string> = {}, method = "GET") => {
      const response = await fetch(uri, { headers, method });
      return { status: response.status, headers: response.headers, text: await response.text() };
    };

    test("signs URLs for one object, one method and a time", async () => {
      await bucket.put(key, "content");
      const uri = await signed();
      const whole = await get(uri);
      expect([whole.status, whole.text]).toEqual([200, "content"]);
      expect(whole.headers.get("content-disposition")).toContain("filename*=UTF-8''b%C3%BCcher");
      expect(await get(uri, { range: "bytes=2-4" })).toMatchObject({ status: 206, text: "nte" });
      expect((await get(uri, { range: "bytes=7-" })).status).toBe(416);
      for (const wrong of [
        uri.replace(/Expires=60/, "Expires=61"),
        uri.replace("/lib/item/", "/lib/item/."),
        uri.replace(/X-Amz-Signature=.{8}/, "X-Amz-Signature=01234567"),
      ]) {
        expect(wrong).not.toBe(uri);
        expect((await get(wrong)).status).toBe(403);
      }
      expect((await get(uri, {}, "HEAD")).status).toBe(403);
      const short = await signed(1_000);
      await eventually("the URL to end", async () => (await get(short)).status === 403);
    });

    test("links and signed URLs have one entity tag, which conditions are about", async () => {
      await bucket.put(key, "content");
      const uri = await signed();
      await using file = await openCurrent(source, "i", name);
      const etag = file!.etag!;
      expect((await get(uri)).headers.get("etag")).toBe(etag);
      expect((await get(uri, { "if-match": etag })).status).toBe(200);
      expect((await get(uri, { "if-match": '"other"' })).status).toBe(412);
      expect((await get(uri, { "if-none-match": etag })).status).toBe(304);
    });

    test("an object that is replaced is another one, or still there by its version", async () => {
      await bucket.put(key, "before");
      const uri = await signed();
      await using file = await openCurrent(source, "i", name);
      await bucket.put(key, "later!");
      expect(await get(uri)).toMatchObject({ text: isVersioned ? "before" : "later!" });
      const condition = await get(uri, { "if-match": file!.etag! });
      expect(condition.status).toBe(isVersioned ? 200 : 412);
      // What reads by the service sees one version, or an error.
      await expect(bytesOf(file!)).rejects.toThrow();
      expect(await file!.directUri!(60_000)).toBeUndefined();
    });

    test("a body that breaks after the object was replaced goes on with no other bytes", async () => {
      await using proxy = await startTcpProxy(minio.ports[0]!);
      const size = 32 * 2 ** 20;
      await bucket.put(key, Buffer.alloc(size, "a"));
      const place = { bucket: bucket.name, endpoint: `http://127.0.0.1:${proxy.port}`, prefix: "" };
      await using file = await openCurrent(await S3ContentSource.open(place), "i", name);
      const reader = file!.reader();
      const into = Buffer.alloc(65_536);
      expect(await reader.read(into)).toBeGreaterThan(0);
      await bucket.put(key, Buffer.alloc(size, "b"));
      proxy.cut();
      const read = async () => {
        for (;;) {
          const bytes = await reader.read(into);
          if (bytes === 0) return "whole";
          expect(into.subarray(0, bytes).every((byte) => byte === 0x61)).toBe(true);
        }
      };
      await expect(read()).rejects.toThrow("the object changed");
    });
  });

  test("four nodes serve a file while one of them dies", async () => {
    for (const [variable, value] of Object.entries(s3Credentials)) vi.stubEnv(variable, value);
    await using cluster = await startMinio(4);
    await using proxy = await startTcpProxy(cluster.ports[0]!);
    const bucket = await cluster.bucket();
    const bytes = Buffer.alloc(64 * 2 ** 20, "some bytes ");
    await bucket.put("lib/item/.item.json", '{"id": "i"}');
    await bucket.put("lib/item/disk", bytes);
    const place = { bucket: bucket.name, endpoint: `http://127.0.0.1:${proxy.port}`, prefix: "" };
    const source = await S3ContentSource.open(place);
    await using file = await openCurrent(source, "i", "disk");
    const reader = file!.reader();
    const into = Buffer.alloc(262_144);
    for (let at = 0; at < bytes.length; ) {
      const count = await reader.read(into);
      expect(into.subarray(0, count).equals(bytes.subarray(at, at + count))).toBe(true);
      if (at < 8 * 2 ** 20 && at + count >= 8 * 2 ** 20) {
        await cluster.kill(0);
        proxy.target = cluster.ports[1]!;
      }
      at += count;
    }
    expect(await reader.read(into)).toBe(0);
    vi.unstubAllEnvs();
  }, 120_000);
});
