import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestApp } from "../support/app.ts";
import { cheapHash } from "../support/auth-calls.ts";
import { makeCertificate } from "../support/certificates.ts";
import { runCommand } from "../support/command.ts";
import { freePort } from "../support/ports.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { writeSmallLibrary } from "../support/small-library.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

interface Line {
  readonly check: string;
  readonly status: "ok" | "warning" | "wrong";
  readonly message: string;
}

let directory: TempDir;
beforeEach(async () => {
  directory = await tempDir();
  await writeSmallLibrary(directory.path);
});
afterEach(() => directory.remove());

const at = (name: string) => join(directory.path, name);

/** Runs the command with what a test needs by default: ports that are free, a small library, and no store yet. */
async function check(flags: Readonly<Record<string, string>> = {}, env: Record<string, string> = {}) {
  const all = {
    "content-root": at("library"),
    "sqlite-path": at("sessions.db"),
    port: "0",
    "admin-listen": "off",
    ...flags,
  };
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
  const { code, stdout, stderr } = await runCommand(["check", "--json", ...args], { env });
  expect(stderr).toBe("");
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
  const problems = lines.filter(({ status }) => status !== "ok");
  return { code, lines, problems: problems.map((line) => `${line.status} ${line.check}: ${line.message}`) };
}

test("a service that can start: every part is looked at, nothing is made", async () => {
  const before = await readdir(directory.path, { recursive: true });
  const { code, lines, problems } = await check();
  expect([code, problems]).toEqual([0, []]);
  const parts = ["configuration", "tls", "content", "store", "disk", "callers", "links", "address", "admin"];
  expect(lines.map((line) => line.check)).toEqual(parts);
  expect(await readdir(directory.path, { recursive: true })).toEqual(before);
  const text = await runCommand(["check", "--content-root", at("library"), "--sqlite-path", ":memory:"]);
  expect(text.stdout).toContain(
    "\nok       store         sessions are kept in memory, and end with the process\n",
  );
});

test("mistakes of the configuration are reported alone, one a line", async () => {
  await writeFile(at("settings.yaml"), "portt: 1\nlease-seconds: x\n");
  const { code, problems } = await check({ config: at("settings.yaml"), port: "x" });
  expect(code).toBe(2);
  expect(problems).toEqual([
    "wrong configuration: --port must be a whole number from 0 to 65535, not 'x'",
    `wrong configuration: ${at("settings.yaml")}:2: lease-seconds must be a number of seconds from 0.001 to 2592000, not 'x'`,
    `wrong configuration: ${at("settings.yaml")}:1: portt is not a setting; did you mean port?`,
  ]);
});

test("everything that is wrong in the environment is reported at once", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  const taken = await new Promise<number>((resolve) => {
    other.once("listening", () => resolve((other.address() as AddressInfo).port));
  });
  await writeFile(at("keys"), '{"keys": []}');
  const { code, problems } = await check({
    "content-root": at("nowhere"),
    "sqlite-path": at("no/sessions.db"),
    "users-file": at("users"),
    "jwt-jwks": `http://127.0.0.1:${await freePort()}/keys`,
    "jwt-issuer": "https://id.example",
    "jwt-audience": "downlease",
    port: String(taken),
    "admin-listen": `127.0.0.1:${taken}`,
  });
  other.close();
  expect(code).toBe(2);
  expect(problems).toEqual([
    `wrong content: content root ${at("nowhere")} can't be used: no such directory`,
    expect.stringMatching(/^wrong store: .*no such directory/),
    expect.stringMatching(/^wrong callers: the users file .* can't be used: ENOENT/),
    expect.stringMatching(/^wrong tokens: the keys in http.* can't be read: connect ECONNREFUSED/),
    `warning address: 127.0.0.1, port ${taken} is in use; when that is not the service itself, set another one`,
    `warning admin: 127.0.0.1, port ${taken} is in use; when that is not the service itself, set another one`,
  ]);
});

describe("files of the configuration", () => {
  test("users, keys and their modes", async () => {
    await writeFile(at("users"), `alice:${cheapHash("secret")}:\n`, { mode: 0o600 });
    await writeFile(at("keys"), '{"keys": []}');
    await writeFile(at("secret"), `k1=${Buffer.alloc(32).toString("base64")}`);
    await chmod(at("secret"), 0o604);
    const jwt = { "jwt-jwks": at("keys"), "jwt-issuer": "https://id.example", "jwt-audience": "downlease" };
    const flags = { "users-file": at("users"), ...jwt };
    const { code, lines, problems } = await check(flags, { DOWNLEASE_LINK_KEYS_FILE: at("secret") });
    expect(code).toBe(2);
    expect(lines).toContainEqual({ check: "callers", status: "ok", message: `users in ${at("users")}: 1` });
    expect(problems).toEqual([
      `wrong tokens: ${at("keys")} has no keys, so that every token would be refused`,
      `warning modes: everybody on this machine can read ${at("secret")}: chmod o-r ${at("secret")}`,
    ]);
    await mkdir(at("empty"));
    expect((await check({ "content-root": at("empty") })).problems).toEqual([
      expect.stringMatching(/^warning content: .* there is nothing to download yet/),
    ]);
  });

  test("certificates: pairs, names and times", async () => {
    const certificates = ["a", "b"].map((name) =>
      makeCertificate(directory.path, name, { subject: "/CN=a", alternativeNames: "DNS:a.example" }),
    );
    const [a, b] = await Promise.all(certificates);
    const tls = { "tls-cert": a!.path, "tls-key": b!.keyPath };
    expect((await check(tls)).problems).toEqual([expect.stringMatching(/^wrong tls: TLS can't be used: /)]);
    // They are made for two days.
    const soon = `warning tls: ${a!.path} expires in 1 days: renew it`;
    const right = { "tls-cert": a!.path, "tls-key": a!.keyPath, "public-url": "https://a.example" };
    expect((await check(right)).problems).toEqual([soon]);
    expect((await check({ ...right, "public-url": "https://b.example" })).problems).toEqual([
      soon,
      `warning tls: ${a!.path} is not for b.example, the host in --public-url, but for DNS:a.example`,
    ]);
  });
});

describe("an SQLite file", () => {
  test("of a running service, of an earlier release, of a later one, and of another program", async () => {
    const path = at("sessions.db");
    const app = await startTestApp({ settings: { sqlitePath: path } });
    expect((await check()).problems).toEqual([]);
    await app.stop();
    const setVersion = (version: number) => {
      using db = new DatabaseSync(path);
      const { user_version: previous } = db.prepare("PRAGMA user_version").get()!;
      db.exec(`PRAGMA user_version = ${version}`);
      return Number(previous);
    };
    const current = setVersion(1);
    const problemOf = async (version: number) => {
      setVersion(version);
      const before = await readFile(path);
      const { problems } = await check();
      expect((await readFile(path)).equals(before)).toBe(true);
      expect(await readdir(directory.path)).toEqual(["library", "sessions.db"]);
      return problems;
    };
    expect(await problemOf(2)).toEqual([
      expect.stringMatching(/^warning store: .* is of an earlier release; .* back it up first$/),
    ]);
    expect(await problemOf(999)).toEqual([
      expect.stringMatching(/^wrong store: .* its schema has version 999/),
    ]);
    await chmod(path, 0o644);
    setVersion(current);
    expect((await check()).problems).toContainEqual(expect.stringMatching(/: chmod o-rw .*sessions\.db$/));
    using other = new DatabaseSync(at("other.db"));
    other.exec("CREATE TABLE t (a)");
    expect((await check({ "sqlite-path": at("other.db") })).problems).toEqual([
      expect.stringMatching(/^wrong store: .* it is the database of another program$/),
    ]);
  });
});

describe("Redis", () => {
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    redis = new Redis(server.port);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  test("is tried as the service uses it, and nothing is left in it", async () => {
    const { code, lines, problems } = await check({ "redis-url": server.url });
    expect(code).toBe(1);
    expect(problems).toEqual([
      expect.stringMatching(/^warning store: .* may evict sessions \(allkeys-lru\)/),
    ]);
    const messages = lines.map(({ check: about, message }) => `${about}: ${message}`).join("\n");
    expect(messages).toMatch(/store: the Redis at 127\.0\.0\.1:\d+ has version \d+\.\d+/);
    expect(messages).toMatch(/clock: that of the Redis at .* differs by 0\.\d s/);
    expect(await redis.keys("*")).toEqual([]);
  });

  test("says which right is missing, and why it can't be reached", async () => {
    const asUser = async (...rules: string[]) => {
      await redis.call("ACL", "SETUSER", "amy", "reset", "on", ">s3cret", "~*", "+@all", ...rules);
      const { problems } = await check({ "redis-url": server.url.replace("//", "//amy:s3cret@") });
      return problems;
    };
    expect(await asUser()).toContainEqual(
      expect.stringMatching(/^warning store: .*announced, .*\(&dl:\*\)$/),
    );
    expect(await asUser("&dl:*")).toHaveLength(1);
    expect(await asUser("-hset")).toEqual([
      expect.stringMatching(/^wrong store: .*\(createSession-\d, HSET\)$/),
    ]);
    const { code, problems } = await check({ "redis-url": `redis://127.0.0.1:${await freePort()}` });
    expect(code).toBe(2);
    expect(problems).toEqual([expect.stringMatching(/^wrong store: .*: connect ECONNREFUSED/)]);
  });
});
