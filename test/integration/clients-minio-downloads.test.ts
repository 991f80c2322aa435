import { readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { minio as tool } from "../support/client-tools.ts";
import { download } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { startGet } from "../support/get.ts";
import { linkTo } from "../support/links.ts";
import { type Minio, startMinio } from "../support/minio.ts";
import { reasonAgainstTools } from "../support/peer-tools.ts";
import { startProcess } from "../support/process.ts";
import { type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import { s3Credentials, type TestBucket } from "../support/s3-server.ts";
import { type Service, startService } from "../support/service.ts";
import { openSession, sessions, sha256, someBytes } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const reason = reasonAgainstTools([tool]);
if (reason !== undefined)
  process.stdout.write(`skipped, ${reason}: test/integration/clients-minio-downloads\n`);

const size = 32 * 2 ** 20;
/** Enough time for a fault in the middle. */
const slowly = { args: ["--limit-rate", "12MiB"] };

// Downloads out of MinIO by the real program, with a proxy between MinIO and all that read from it.
describe.skipIf(reason !== undefined).each(["none", "redirect"])("--offload %s", (offload) => {
  let minio: Minio;
  let front: S3Proxy;
  let bucket: TestBucket;
  let service: Service;
  let directory: TempDir;
  let bytes: Uint8Array;
  beforeAll(async () => {
    minio = await startMinio();
    front = await startS3Proxy(minio.url);
    bucket = await minio.bucket();
    await bucket.put("lib/item/.item.json", '{"id": "i"}');
    bytes = await putDisk();
    service = await start("--lease-seconds", "60");
  }, 90_000);
  afterAll(async () => {
    await service.stop();
    await front.stop();
    await minio[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    directory = await tempDir();
    front.exchanges.length = 0;
  });
  afterEach(async () => {
    front.interfere = undefined;
    await directory.remove();
  });

  async function putDisk(): Promise<Uint8Array> {
    const content = someBytes(size);
    await bucket.put("lib/item/disk.img", content);
    return content;
  }
  const start = (...args: readonly string[]) =>
    startService(
      [
        ...["--s3-bucket", bucket.name, "--s3-endpoint", front.url, "--offload", offload],
        ...["--log-level", "trace", ...args],
      ],
      s3Credentials,
    );
  const out = () => join(directory.path, "out");
  const result = async () => sha256(await readFile(join(out(), "disk.img")));
  /** Bytes that the reader of the object has taken. */
  const taken = () => front.exchanges.reduce((sum, { kind, taken }) => sum + (kind === "get" ? taken : 0), 0);
  const inTheMiddle = () =>
    eventually("a part of the file", () => taken() > size / 8, { withinMs: 20_000, everyMs: 5 });
  /** Requests by signed URLs, which are those of the client. */
  const signed = () => front.exchanges.filter(({ query }) => query.has("X-Amz-Signature"));

  test("get and curl have the right bytes, and no log has the URL", async () => {
    await using get = await startGet(service.url, "i", out());
    expect((await get.ended()).code).toBe(0);
    expect(await result()).toBe(sha256(bytes));
    expect(signed().length > 0).toBe(offload === "redirect");

    const link = await linkTo(service.url, await openSession(service.url, "i"), "disk.img");
    const file = join(directory.path, "by-curl");
    const curl = async (...args: readonly string[]) => {
      const program = await startProcess("curl", ["-sSf", "-m", "30", "-w", "%{http_code}", ...args]);
      await program.exited;
      return program.stdout;
    };
    expect(await curl("-L", "-o", file, link)).toBe("200");
    await truncate(file, size / 2);
    expect(await curl("-L", "-C", "-", "-o", file, link)).toBe("206");
    expect(sha256(await readFile(file))).toBe(sha256(bytes));
    expect(await curl("-I", "-o", "/dev/null", link)).toBe("200");
    expect(service.output).not.toMatch(/X-Amz|Signature|Credential/i);
  });

  test("a storage that asks to slow down is asked later", async () => {
    let refusals = 0;
    front.interfere = ({ kind }) => {
      const isRefused = kind === "get" && refusals < 8;
      if (isRefused) refusals += 1;
      return isRefused ? { answer: { status: 503, code: "SlowDown" } } : undefined;
    };
    await using get = await startGet(service.url, "i", out());
    expect((await get.ended()).code).toBe(0);
    expect([await result(), refusals]).toEqual([sha256(bytes), 8]);
  });

  test("a node that is killed and comes back costs no bytes that were there", async () => {
    await using get = await startGet(service.url, "i", out(), slowly);
    await inTheMiddle();
    await minio.kill();
    await get.reports("notice");
    await minio.restart();
    const { code, events } = await get.ended();
    expect([code, events.at(-1)]).toMatchObject([0, { event: "result", bytes_fetched: size }]);
    expect(await result()).toBe(sha256(bytes));
  });

  test("an object that is replaced in the middle is never mixed with another", async () => {
    await using get = await startGet(service.url, "i", out(), slowly);
    await inTheMiddle();
    const running = front.exchanges.filter(({ kind }) => kind === "get");
    bytes = await putDisk();
    for (const exchange of running) exchange.cut();
    expect((await get.ended()).code).toBe(0);
    expect(await result()).toBe(sha256(bytes));
  });

  if (offload !== "redirect") return;

  test("a URL ends with the lease that it was signed for", async () => {
    await using short = await start("--lease-seconds", "6");
    const id = await openSession(short.url, "i");
    const link = await linkTo(short.url, id, "disk.img");
    const { location } = (await download("HTTP/1.1", link)).headers;
    const statusOf = async (url: string) => {
      const response = await fetch(url, { headers: { range: "bytes=0-9" } });
      await response.arrayBuffer();
      return response.status;
    };
    expect(await statusOf(location!)).toBe(206);
    await eventually(
      "the signed URL to end",
      async () => {
        const renewed = await fetch(`${short.url}${sessions}/${id}?action=keep-alive`, { method: "POST" });
        expect(renewed.ok).toBe(true);
        return (await statusOf(location!)) === 403;
      },
      { withinMs: 15_000, everyMs: 500 },
    );
    expect(await statusOf(link)).toBe(206);
  });
});
