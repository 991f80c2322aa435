import { existsSync, readFileSync, realpathSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { readSchema, rewrittenSchema } from "../../deploy/helm/schema.ts";
import packageFacts from "../../package.json" with { type: "json" };
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
const secureCompose = read("deploy/compose.secure.yml");
const unit = read("deploy/systemd/downlease.service");
const unitSecrets = read("deploy/systemd/downlease.service.d/secrets.conf");
const chart = "deploy/helm/downlease";
const values = read(`${chart}/values.yaml`);
const templates = ["_helpers.tpl", "deployment.yaml", "NOTES.txt"]
  .map((name) => read(`${chart}/templates/${name}`))
  .join("\n");

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
    const texts = [dockerfile, compose, secureCompose, haproxy, unit, unitSecrets, values, templates];
    for (const text of texts) {
      const named = text.match(/DOWNLEASE_\w+/g) ?? [];
      expect(named.filter((name) => !variables.has(name))).toEqual([]);
    }
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
    const environment = { ...settingsIn(dockerfile), ...settingsIn(compose) };
    const { DOWNLEASE_TRANSFER_GRACE_SECONDS } = settingsIn(secureCompose);
    for (const [text, own] of [
      [compose, environment],
      [secureCompose, { ...environment, DOWNLEASE_TRANSFER_GRACE_SECONDS }],
    ] as const) {
      const { graceMs, transferGraceMs } = loadConfig({ flags: {}, environment: own });
      const [, patience] = /stop_grace_period: (\d+)s/.exec(text) ?? [];
      expect(Number(patience) * 1000).toBeGreaterThan(Math.max(graceMs, transferGraceMs));
    }
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

describe("the image", () => {
  test("has the release of Node.js that the tests run on, and a user that Kubernetes takes", () => {
    expect(dockerfile).toContain(`ARG NODE_VERSION=${packageFacts.devDependencies.node}\n`);
    const [base, ...stages] = dockerfile.match(/(?<=^FROM )\S+/gm) ?? [];
    expect(base).toMatch(/^node:\$\{NODE_VERSION\}-slim$/);
    expect(new Set(stages)).toEqual(new Set(["base"]));
    expect(/^USER (.*)$/m.exec(dockerfile)?.[1]).toMatch(/^\d+:\d+$/);
  });

  test("is checked by the program's own command", () => {
    const [, check = ""] = /^HEALTHCHECK [^[]*CMD (\[.*\])$/m.exec(dockerfile) ?? [];
    expect(JSON.parse(check)).toEqual(["node", "src/main.ts", "health"]);
  });

  test("is of the release that the chart installs", () => {
    const { version, appVersion } = parse(read(`${chart}/Chart.yaml`));
    expect(dockerfile).toContain(`ARG VERSION=${appVersion}\n`);
    expect(version).toBe(appVersion);
  });
});

describe("compose", () => {
  const services = Object.entries<Record<string, unknown>>(parse(compose, { merge: true }).services);

  test.each(services)("%s has limits, and a log that does not grow for ever", (_, service) => {
    expect(service).toMatchObject({
      ...{ cpus: expect.any(Number), mem_limit: expect.any(String), pids_limit: expect.any(Number) },
      ulimits: { nofile: expect.any(Number) },
      logging: { options: { "max-size": expect.any(String), "max-file": expect.any(String) } },
      ...{ restart: "unless-stopped", read_only: true, cap_drop: ["ALL"] },
    });
  });

  test("Redis is where nothing but the replicas is", () => {
    const inStore = services.filter(([, { networks }]) => JSON.stringify(networks ?? "").includes("store"));
    expect(inStore.map(([name]) => name)).toEqual(["redis", "replica-1", "replica-2", "replica-3"]);
  });

  test("for other machines has every secret in a file, and nobody who is anonymous", () => {
    const override = { tag: "!override", collection: "seq" } as const;
    const { services: secure, secrets } = parse(secureCompose, { customTags: [override] });
    const used = Object.values<{ secrets: string[] }>(secure).flatMap((service) => service.secrets);
    expect(new Set(used)).toEqual(new Set(Object.keys(secrets)));
    expect(secure["replica-1"].environment).toMatchObject({
      ...{ DOWNLEASE_INSECURE_NO_AUTH: "", DOWNLEASE_REDIS_URL: "" },
      DOWNLEASE_REDIS_URL_FILE: "/run/secrets/redis-url",
    });
  });
});

describe("the chart", () => {
  test("knows every setting: npm run docs writes them", () => {
    expect(readSchema()).toBe(rewrittenSchema());
  });

  test("has a rule for every value, and a value for every rule", () => {
    type Schema = { properties?: Record<string, Schema> };
    const names = (value: unknown, schema: Schema, path: string): string[] => {
      const rules = Object.keys(schema.properties ?? {});
      if (rules.length === 0 || path.endsWith(".settings")) return [];
      const inValues = Object.keys(value ?? {}).filter((name) => !rules.includes(name));
      const inRules = rules.filter((name) => !(name in (value as object)));
      const below = Object.entries(value as object).flatMap(([name, each]) =>
        names(each, schema.properties?.[name] ?? {}, `${path}.${name}`),
      );
      return [...[...inValues, ...inRules].map((name) => `${path}.${name}`), ...below];
    };
    expect(names(parse(values), JSON.parse(readSchema()), "")).toEqual([".global"]);
  });

  test.each([
    ["rules.yml", "deploy/prometheus/rules.yml"],
    ["downlease.json", "deploy/grafana/downlease.json"],
  ])("%s is the repository's", (name, path) => {
    expect(realpathSync(join(root, chart, "files", name))).toBe(realpathSync(join(root, path)));
  });
});

describe("the unit of systemd", () => {
  test("loads every credential that it names", () => {
    const loaded = [...unitSecrets.matchAll(/^LoadCredential=([^:]+):/gm)].map(([, name]) => name);
    const named = [...unitSecrets.matchAll(/%d\/(\S+)/g)].map(([, name]) => name);
    expect(loaded.length).toBeGreaterThan(0);
    expect(named).toEqual(loaded);
  });

  test("lets the program notify by a process of its own", () => {
    expect(unit).toMatch(/^Type=notify$/m);
    expect(unit).toMatch(/^NotifyAccess=all$/m);
    expect(unit).toMatch(/^RestrictAddressFamilies=.*\bAF_UNIX\b/m);
  });
});
