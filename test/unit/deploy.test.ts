import { existsSync, readFileSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { addressMatcher } from "../../src/config/addresses.ts";
import { loadConfig } from "../../src/config/load.ts";
import { settings } from "../../src/config/settings.ts";
import { errorKinds } from "../../src/domain/errors.ts";
import { makeCertificate } from "../support/certificates.ts";
import { haproxyConfig, haproxyEnvironment } from "../support/haproxy.ts";
import { startProcess } from "../support/process.ts";
import { tempDir } from "../support/temp-dir.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const dockerfile = read("deploy/Dockerfile");
const compose = read("docker-compose.yml");
const haproxy = readFileSync(haproxyConfig, "utf8");

/** `NAME: value` in compose, `NAME=value` in the Dockerfile. */
function settingsIn(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^[\sA-Z]*(DOWNLEASE_\w+)(?:: |=)"?([^\s"\\]+)/gm)].map(([, name, value]) => [
      name,
      value,
    ]),
  );
}

describe("settings of the deployment", () => {
  test("are those of the service", () => {
    const variables = new Set(settings.map(({ variable }) => variable));
    const named = [...`${dockerfile}\n${compose}\n${haproxy}`.matchAll(/DOWNLEASE_\w+/g)].map(
      ([name]) => name,
    );
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((name) => !variables.has(name))).toEqual([]);
  });

  test("make a replica that shares Redis, listens to all and drains for longer than HAProxy takes to notice", () => {
    const environment = { ...settingsIn(dockerfile), ...settingsIn(compose) };
    const config = loadConfig({ flags: {}, environment });
    expect(config.host).toBe("0.0.0.0");
    expect(config.redisUrl).toBeDefined();
    const [, interval, fall] = /check inter (\d+)ms fall (\d+)/.exec(haproxy) ?? [];
    expect(config.drainMs).toBeGreaterThan(Number(interval) * Number(fall));
  });

  test("make replicas trust HAProxy's address, and no other", () => {
    const { DOWNLEASE_TRUSTED_PROXIES: trusted = "" } = settingsIn(compose);
    const [, address] = /ipv4_address: (\S+)/.exec(compose) ?? [];
    expect(trusted).toBe(address);
    const [, subnet = ""] = /subnet: (\S+)/.exec(compose) ?? [];
    const [, dynamic = ""] = /ip_range: (\S+)/.exec(compose) ?? [];
    expect([addressMatcher([subnet])(trusted), addressMatcher([dynamic])(trusted)]).toEqual([true, false]);
  });

  test("give Docker more patience than the service needs to stop", () => {
    const { graceMs } = loadConfig({
      flags: {},
      environment: { ...settingsIn(dockerfile), ...settingsIn(compose) },
    });
    const [, patience] = /stop_grace_period: (\d+)s/.exec(compose) ?? [];
    expect(Number(patience) * 1000).toBeGreaterThan(graceMs);
  });
});

describe("HAProxy's configuration", () => {
  test.each([2, 3])("is accepted without a warning for %i replicas", async (count) => {
    const replicas = Array.from({ length: count }, (_, index) => `127.0.0.1:${8081 + index}`);
    const env = haproxyEnvironment("127.0.0.1:8080", replicas);
    const check = await startProcess("haproxy", ["-c", "-f", haproxyConfig], { env });
    expect(await check.exited).toMatchObject({ code: 0 });
    expect(check.stdout + check.stderr).not.toMatch(/warning|alert/i);
  });

  test("is accepted without a warning with TLS", async () => {
    await using directory = await tempDir();
    const { path, key } = await makeCertificate(directory.path, "haproxy", { subject: "/CN=localhost" });
    await appendFile(path, key);
    const env = {
      ...haproxyEnvironment("127.0.0.1:8080", ["127.0.0.1:1", "127.0.0.1:2"]),
      TLS_CERTIFICATE: path,
    };
    const check = await startProcess("haproxy", ["-c", "-f", haproxyConfig], { env });
    expect(await check.exited).toMatchObject({ code: 0 });
    expect(check.stdout + check.stderr).not.toMatch(/warning|alert/i);
  });

  test("leaves a replaced process to its downloads for hours", () => {
    const [, hours] = /hard-stop-after (\d+)h$/m.exec(haproxy) ?? [];
    expect(Number(hours)).toBeGreaterThanOrEqual(12);
  });

  test("is refused without replicas", async () => {
    const env = haproxyEnvironment("127.0.0.1:8080", []);
    const check = await startProcess("haproxy", ["-c", "-f", haproxyConfig], { env });
    expect(await check.exited).toMatchObject({ code: 1 });
  });

  test.each([
    ["when no replica is ready", "503", errorKinds.service_unavailable],
    ["when an address logs in too often", "429", errorKinds.too_many_attempts],
  ])("answers like the service %s", (_, status, { vapi }) => {
    const answer = new RegExp(`status ${status} content-type application/json .*string '(.*)'`);
    const [, body = ""] = answer.exec(haproxy) ?? [];
    expect(JSON.parse(body)).toMatchObject({
      type: `com.vmware.vapi.std.errors.${vapi}`,
      value: { error_type: vapi.toUpperCase(), messages: [{ args: expect.any(Array) }] },
    });
  });

  test("gets every replica from compose", () => {
    const replicas = [...compose.matchAll(/^ {2}(replica-\d+): \*replica$/gm)].map(([, name]) => name);
    const passed = [...compose.matchAll(/REPLICA_\d+: (\S+):8080$/gm)].map(([, name]) => name);
    expect(replicas).toHaveLength(3);
    expect(passed).toEqual(replicas);
  });
});

describe("files of the deployment", () => {
  test.each(
    [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) => sources!.split(" ")),
  )("%s, which the image copies, exists and is not ignored", (source) => {
    expect(existsSync(join(root, source))).toBe(true);
    expect(read("deploy/Dockerfile.dockerignore").split("\n")).toContain(`!${source}`);
  });

  test.each([...compose.matchAll(/- \.\/([^:]+):\S+:ro$/gm)].map(([, source]) => source!))(
    "%s, which compose mounts, exists",
    (source) => {
      expect(existsSync(join(root, source))).toBe(true);
    },
  );
});
