import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { type RedisTls, startRedis, startSentinel } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

/** Has to be percent-encoded in a URL. */
const password = `p@ss/w#rd?${randomBytes(8).toString("hex")}`;
const encoded = encodeURIComponent(password);
const sentinelPassword = `sentinel-${randomBytes(8).toString("hex")}`;

let directory: TempDir;
let tls: RedisTls;
let stranger: Certificate;

beforeAll(async () => {
  directory = await tempDir();
  const { path } = directory;
  const ca = await makeCertificate(path, "ca", { subject: "/CN=Redis CA" });
  const alternativeNames = "IP:127.0.0.1,DNS:localhost";
  const [server, client] = await Promise.all([
    makeCertificate(path, "server", { subject: "/CN=redis", alternativeNames, issuer: ca }),
    makeCertificate(path, "client", { subject: "/CN=downlease", issuer: ca }),
  ]);
  tls = { ca, server, client };
  stranger = await makeCertificate(path, "stranger", { subject: "/CN=Another CA" });
});
afterAll(() => directory.remove());

const certificates = () => [
  "--redis-ca",
  tls.ca.path,
  "--redis-cert",
  tls.client.path,
  "--redis-key",
  tls.client.keyPath,
];

const isReady = async ({ url }: Service) => (await fetch(`${url}/readyz`)).status === 200;

describe("over TLS with a private authority, a client certificate and a password", () => {
  test("one server is used", async () => {
    await using redis = await startRedis({ access: { password, tls } });
    const url = `rediss://:${encoded}@127.0.0.1:${redis.port}`;
    await using service = await startService(["--redis-url", url, ...certificates()]);
    await eventually("ready", () => isReady(service));
    expect(service.output).not.toContain(password);
    expect(service.output).not.toContain(encoded);
  });

  test("the master of sentinels is used, which have a password of their own", async () => {
    await using sentinel = await startSentinel({
      replicas: 1,
      access: { password, tls },
      sentinelPassword,
    });
    const hosts = sentinel.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const url = `rediss+sentinel://:${encoded}@${hosts}/downlease`;
    await using service = await startService(["--redis-url", url, ...certificates()], {
      DOWNLEASE_REDIS_SENTINEL_PASSWORD: sentinelPassword,
    });
    await eventually("ready", () => isReady(service));
    await sentinel.failover();
    await eventually("another master", async () => (await sentinel.masterPort()) !== sentinel.master.port, {
      withinMs: 15_000,
    });
    await delay(1_000);
    await eventually("ready on the new master", () => isReady(service), { withinMs: 10_000 });
    for (const secret of [password, encoded, sentinelPassword]) {
      expect(service.output).not.toContain(secret);
    }
  });

  test("a server of another authority is refused, and the log says why", async () => {
    await using redis = await startRedis({ access: { password, tls } });
    const url = `rediss://:${encoded}@127.0.0.1:${redis.port}`;
    await using service = await startService(["--redis-url", url, "--redis-ca", stranger.path]);
    expect(await isReady(service)).toBe(false);
    const lines = service.logs.filter(({ msg }) => String(msg).includes("Redis can't be reached"));
    expect(lines).toHaveLength(1);
    expect(String(lines[0]!.reason)).toMatch(/certificate/);
  });

  test("a connection that swallows everything is replaced", async () => {
    await using redis = await startRedis({ access: { password, tls } });
    await using proxy = await startTcpProxy(redis.port);
    const url = `rediss://:${encoded}@127.0.0.1:${proxy.port}`;
    await using service = await startService(["--redis-url", url, ...certificates()]);
    await eventually("ready", () => isReady(service));
    proxy.silence();
    await eventually("not ready", async () => !(await isReady(service)));
    await eventually("ready again", () => isReady(service));
  });
});

test("sentinels with a password are not asked without it, and the log says why", async () => {
  await using sentinel = await startSentinel({ sentinelPassword });
  await using service = await startService(["--redis-url", sentinel.url]);
  expect(await isReady(service)).toBe(false);
  const line = service.logs.find(({ msg }) => String(msg).includes("Redis can't be reached"));
  expect(String(line?.reason)).toMatch(/NOAUTH/);
});

test("a wrong password is named by its error, and not shown", async () => {
  await using redis = await startRedis({ access: { password } });
  const wrong = `wrong-${randomBytes(8).toString("hex")}`;
  await using service = await startService(["--redis-url", `redis://:${wrong}@127.0.0.1:${redis.port}`]);
  expect(await isReady(service)).toBe(false);
  await eventually("the reason", () =>
    service.logs.some(({ reason }) => String(reason).startsWith("WRONGPASS")),
  );
  expect(service.output).not.toContain(wrong);
});
