import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { eventually } from "../support/eventually.ts";
import { methodClients } from "../support/method-clients.ts";
import { type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import { type S3Server, s3Credentials, startS3Server, type TestBucket } from "../support/s3-server.ts";
import { type Service, startService } from "../support/service.ts";
import { openSession, sessionFiles, sha256, someBytes } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// Two starts of the program.
vi.setConfig({ testTimeout: 60_000 });

const size = 5_000_000;
const disk = someBytes(size);
let server: S3Server;
let proxy: S3Proxy;
let bucket: TestBucket;
let directory: TempDir;

beforeAll(async () => {
  for (const [name, value] of Object.entries(s3Credentials)) vi.stubEnv(name, value);
  server = await startS3Server();
  proxy = await startS3Proxy(server.url);
  bucket = await server.bucket();
  directory = await tempDir();
});
afterAll(async () => {
  await proxy.stop();
  await server.stop();
  await directory.remove();
  vi.unstubAllEnvs();
});
beforeEach(() => {
  proxy.exchanges.length = 0;
});

/** Puts an item of one file into the bucket. */
async function putItem(id: string): Promise<void> {
  await bucket.put(`lib/${id}/.item.json`, JSON.stringify({ id }));
  await bucket.put(`lib/${id}/disk`, disk);
}

function start(...more: readonly string[]): Promise<Service> {
  return startService([
    ...[
      "--s3-bucket",
      bucket.name,
      "--s3-endpoint",
      proxy.url,
      "--sqlite-path",
      join(directory.path, "sessions.db"),
    ],
    ...[
      "--cache-dir",
      join(directory.path, "cache"),
      "--cache-bytes",
      "1GiB",
      "--cache-fresh-seconds",
      "600",
    ],
    ...more,
  ]);
}

/** Opens a session and gives the link of its disk once that may be read; `verified` waits for its checksums. */
async function linkOf(service: Service, id: string, { verified = false } = {}): Promise<string> {
  const [call] = Object.values(methodClients);
  const files = sessionFiles(call!(service.url), await openSession(service.url, id));
  await files.prepare("disk");
  const ready = await eventually("the disk to be ready", async () => {
    const file = await files.get("disk");
    const isReady = file.status === "PREPARED" && (!verified || file.checksum_info !== undefined);
    return isReady ? file : undefined;
  });
  return ready.download_endpoint!.uri;
}

async function expectDisk(link: string, [start, end] = [0, size - 1]): Promise<void> {
  const response = await fetch(link, { headers: { range: `bytes=${start}-${end}` } });
  expect(response.status).toBe(206);
  expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(sha256(disk.subarray(start, end + 1)));
}

/** Bytes of the disks that the storage has sent. */
const fetched = () =>
  proxy.exchanges.reduce((sum, { path, taken }) => sum + (path.endsWith("/disk") ? taken : 0), 0);

async function metric(service: Service, series: string): Promise<number> {
  const page = await (await fetch(`${service.adminUrl}/metrics`)).text();
  const line = page.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length));
}

test("a file is fetched once for all who prepare and download it, also after a kill, and by workers at most once each", async () => {
  await putItem("once");
  {
    await using service = await start("--prepare-seconds", "0");
    const link = await linkOf(service, "once");
    const cuts = [0, 1_700_001, 3_333_333, size];
    await Promise.all([
      ...cuts.slice(1).map((end, index) => expectDisk(link, [cuts[index]!, end - 1])),
      ...Array.from({ length: 20 }, () => expectDisk(link)),
      linkOf(service, "once", { verified: true }),
    ]);
    expect(fetched()).toBe(size);
    proxy.exchanges.length = 0;
    // The next download asks the storage for nothing.
    await expectDisk(await linkOf(service, "once", { verified: true }));
    expect(proxy.exchanges).toEqual([]);
    expect(await metric(service, "downlease_cache_fetched_bytes_total")).toBe(size);
    expect(await metric(service, "downlease_cache_used_bytes")).toBe(size);
    await service.kill();
  }
  await putItem("shared");
  await using service = await start("--workers", "2");
  await expectDisk(await linkOf(service, "once"));
  expect(fetched()).toBe(0);
  expect(await metric(service, 'downlease_cache_blocks_total{outcome="hit"}')).toBeGreaterThan(0);
  const links = await Promise.all(Array.from({ length: 20 }, () => linkOf(service, "shared")));
  await Promise.all(links.map((link) => expectDisk(link)));
  expect(fetched()).toBeGreaterThanOrEqual(size);
  expect(fetched()).toBeLessThanOrEqual(2 * size);
});
