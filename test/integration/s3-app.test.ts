import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { hashPassword } from "../../src/auth/password-hash.ts";
import { putUser } from "../../src/cli/users/edit-users.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { methodClients } from "../support/method-clients.ts";
import { type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import { type S3Server, s3Credentials, startS3Server, type TestBucket } from "../support/s3-server.ts";
import { openSession, sessionFiles, sha256, someBytes } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const size = 6_000_000;
const disk = someBytes(size);
const sha1 = createHash("sha1").update(disk).digest("hex");
const manifest = `SHA1(disk 1.vmdk)= ${sha1}\n`;
const api = "/api/content/library";

let server: S3Server;
let proxy: S3Proxy;
let bucket: TestBucket;
let directory: TempDir;
let app: TestApp;

beforeAll(async () => {
  for (const [name, value] of Object.entries(s3Credentials)) vi.stubEnv(name, value);
  server = await startS3Server();
  proxy = await startS3Proxy(server.url);
  bucket = await server.bucket();
  await bucket.put("released/lib/.library.json", '{"id": "l", "description": "of S3"}');
  await bucket.put("released/lib/photon/.item.json", '{"id": "i"}');
  await bucket.put("released/lib/photon/photon.ovf", "<ovf/>");
  await bucket.put("released/lib/photon/disk 1.vmdk", disk);
  await bucket.put("released/lib/photon/photon.mf", manifest);
  directory = await tempDir();
  const usersFile = join(directory.path, "users");
  const password = await hashPassword("a long password");
  await putUser(usersFile, { name: "alice", password, roles: ["storage"] });
  await putUser(usersFile, { name: "bob", password, roles: [] });
  const settings = { s3Bucket: bucket.name, s3Prefix: "released", s3Endpoint: proxy.url, usersFile };
  app = await startTestApp({ settings });
  for (const name of ["alice", "bob"]) await logIn(name);
});
afterAll(async () => {
  await app.stop();
  await proxy.stop();
  await server.stop();
  await directory.remove();
  vi.unstubAllEnvs();
});
beforeEach(() => bucket.put("released/lib/photon/disk 1.vmdk", disk));
afterEach(() => {
  proxy.interfere = undefined;
});

const logins = new Map<string, string>();

/** Headers of a user who has logged in. */
const as = (name: string) => ({ "vmware-api-session-id": logins.get(name)! });
const read = async (path: string) => (await fetch(app.url + api + path, { headers: as("bob") })).json();

async function logIn(name: string): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${name}:a long password`).toString("base64")}`;
  const response = await fetch(`${app.url}/api/session`, { method: "POST", headers: { authorization } });
  logins.set(name, (await response.json()) as string);
}

/** Prepares the disk in a new session of a user; gives its link. */
async function preparedDisk(name = "bob", more: object = {}): Promise<string> {
  const session = await openSession(app.url, "i", as(name));
  const [call] = Object.values(methodClients);
  const files = sessionFiles(call!(app.url), session, as(name));
  await files.prepare("disk 1.vmdk", { ...more });
  const ready = await eventually("the disk to be ready", async () => {
    const file = await files.get("disk 1.vmdk");
    if (file.status !== "PREPARED") throw new Error(JSON.stringify(file));
    return file;
  });
  expect(ready.checksums).toEqual([
    { algorithm: "SHA256", checksum: sha256(disk) },
    { algorithm: "SHA1", checksum: sha1 },
  ]);
  return ready.download_endpoint!.uri;
}

test("what is in the bucket can be looked up", async () => {
  expect(await read("")).toEqual(["l"]);
  expect(await read("/l")).toMatchObject({ name: "lib", description: "of S3" });
  expect(await read("/item?library_id=l")).toEqual(["i"]);
  const item = { id: "i", name: "photon", type: "ovf", library_id: "l" };
  expect(await read("/item/i")).toMatchObject({ ...item, size: size + 6 + manifest.length });
});

test("callers who may read storage learn where files are", async () => {
  const path = `${app.url}${api}/item/i/storage?file_name=disk%201.vmdk`;
  const response = await fetch(path, { headers: as("alice") });
  const storage = `s3://${bucket.name}/released`;
  expect(await response.json()).toMatchObject([
    {
      storage_backing: { type: "OTHER", storage_uri: storage },
      storage_uris: [`${storage}/lib/photon/disk%201.vmdk`],
    },
  ]);
  expect((await fetch(path, { headers: as("bob") })).status).toBe(403);
});

test("a file is downloaded whole, and in parts that fit", async () => {
  const link = await preparedDisk();
  const whole = await fetch(link);
  expect(whole.status).toBe(200);
  expect(sha256(new Uint8Array(await whole.arrayBuffer()))).toBe(sha256(disk));
  const parts: Uint8Array[] = [];
  for (const range of ["bytes=0-999999", "bytes=1000000-5999998", "bytes=-1"]) {
    const part = await fetch(link, { headers: { range, "if-range": whole.headers.get("etag")! } });
    expect(part.status).toBe(206);
    parts.push(new Uint8Array(await part.arrayBuffer()));
  }
  expect(Buffer.compare(Buffer.concat(parts), disk)).toBe(0);
});

test("a download is whole although the storage breaks the connection again and again", async () => {
  const link = await preparedDisk();
  let cuts = 0;
  proxy.interfere = ({ kind, path }) => {
    if (kind !== "get" || !path.endsWith(".vmdk")) return undefined;
    cuts += 1;
    return { cutAfter: 1_500_000 };
  };
  const response = await fetch(link);
  expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(sha256(disk));
  expect(cuts).toBeGreaterThan(3);
});

test("a download is cut when the object changes in the middle", async () => {
  const link = await preparedDisk();
  proxy.interfere = ({ kind, path }) =>
    kind === "get" && path.endsWith(".vmdk") ? { cutAfter: 1_500_000 } : undefined;
  const response = await fetch(link);
  expect(response.status).toBe(200);
  await bucket.put("released/lib/photon/disk 1.vmdk", someBytes(size));
  await expect(response.arrayBuffer()).rejects.toThrow();
  expect((await fetch(link)).status).toBe(404);
});

test("a download is refused, not empty, when the storage can't serve it", async () => {
  const link = await preparedDisk();
  proxy.interfere = () => ({ answer: { status: 500, code: "InternalError" } });
  const response = await fetch(link);
  expect([response.status, response.headers.get("content-length")]).not.toEqual([200, "0"]);
  expect(response.ok).toBe(false);
  proxy.interfere = undefined;
  expect((await fetch(link, { method: "HEAD" })).status).toBe(200);
});

test("a caller who may read the storage gets a direct URI, which lives no longer than the lease; others get none", async () => {
  const uri = await preparedDisk("alice", { endpoint_type: "DIRECT" });
  expect(uri.startsWith(`${proxy.url}/${bucket.name}/released/lib/photon/disk%201.vmdk?`)).toBe(true);
  const { searchParams } = new URL(uri);
  expect(Number(searchParams.get("X-Amz-Expires"))).toBeLessThanOrEqual(300);
  expect(searchParams.get("response-content-disposition")).toBe('attachment; filename="disk 1.vmdk"');
  const response = await fetch(uri);
  expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(sha256(disk));

  const session = await openSession(app.url, "i", as("bob"));
  for (const clientFor of Object.values(methodClients)) {
    const files = sessionFiles(clientFor(app.url), session, as("bob"));
    const { status } = await files.prepare("disk 1.vmdk", { endpoint_type: "DIRECT" });
    expect(status).toMatch(/downlease\.storage\.role$/);
  }
});
