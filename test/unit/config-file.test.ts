import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConfig, withConfigFile } from "../../src/app/config.ts";
import { ConfigError, type ConfigSources, loadConfig, serviceLinksIn } from "../../src/config/load.ts";
import { settings } from "../../src/config/settings.ts";

let path: string;
let secretPath: string;
beforeAll(() => {
  const directory = mkdtempSync(join(tmpdir(), "downlease-config-"));
  [path, secretPath] = [join(directory, "settings.yaml"), join(directory, "secret")];
});
afterAll(() => rmSync(join(path, ".."), { recursive: true }));

async function readWholeConfig(named: Pick<ConfigSources, "flags" | "environment">) {
  const { flags, environment, file } = await withConfigFile(named);
  return readConfig(flags, environment, file);
}

interface Sources {
  readonly flags?: ConfigSources["flags"];
  readonly environment?: ConfigSources["environment"];
  readonly mode?: number;
}

function load(text: string | Uint8Array, { flags = {}, environment = {}, mode = 0o600 }: Sources = {}) {
  writeFileSync(path, text);
  chmodSync(path, mode);
  return readWholeConfig({ flags: { config: path, contentRoot: "library", ...flags }, environment });
}

/** Without the path of the file. */
async function mistakesOf(...args: Parameters<typeof load>): Promise<string[]> {
  const error = await load(...args).then(
    () => expect.unreachable("the file is right"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigError)) throw error;
  return error.mistakes.map((mistake) => mistake.replaceAll(path, "F"));
}

describe("a configuration file", () => {
  test("gives settings by the names of flags, in the ways of YAML", async () => {
    const config = await load(
      [
        "# of the machine in Berlin",
        "port: 9090",
        'lease-seconds: "0.5"',
        "fast-lane: false",
        "verify-first: on",
        "cors-origins: [https://a.example, 'http://b.example:90']",
        "trusted-proxies:",
        "  - 10.0.0.0/8",
        "  - fd00::1",
        "mtls-admins: a, b",
        "mtls-ca: ca.pem",
        "{tls-cert: cert.pem}".slice(1, -1),
        "tls-key: >-",
        "  key.pem",
      ].join("\r\n"),
    );
    expect(config).toMatchObject({
      port: 9090,
      leaseMs: 500,
      fastLane: false,
      verifyFirst: true,
      corsOrigins: ["https://a.example", "http://b.example:90"],
      trustedProxies: ["10.0.0.0/8", "fd00::1"],
      mtls: { namesByRole: { admin: ["a", "b"] } },
      tls: { cert: "cert.pem", key: "key.pem" },
    });
    expect((await load('\ufeff{"max-calls": 7, "workers": 2}')).maxCalls).toBe(7);
    expect((await load("# nothing\n")).port).toBe(8080);
  });

  test("has every setting but its own name", async () => {
    const texts = settings.map(({ flag }) => `${flag.slice(2)}: {}`);
    const mistakes = await mistakesOf(texts.join("\n"));
    expect(mistakes).toContain("F:1: config is not a setting");
    expect(mistakes.filter((mistake) => mistake.includes("is not a setting"))).toHaveLength(1);
  });

  test("loses to variables, which lose to flags, also where a file holds the secret", async () => {
    const text = "port: 1\ngrace-seconds: 2\nmax-calls: 3\n";
    const environment = { DOWNLEASE_PORT: "10", DOWNLEASE_GRACE_SECONDS: "20", DOWNLEASE_MAX_CALLS: "" };
    const config = await load(text, { environment, flags: { port: "100" } });
    expect([config.port, config.graceMs, config.maxCalls]).toEqual([100, 20_000, 3]);
    writeFileSync(secretPath, "redis://from-a-file\n");
    const file = `redis-url-file: ${secretPath}`;
    expect((await load(file)).redisUrl?.reveal()).toBe("redis://from-a-file");
    const variable = { DOWNLEASE_REDIS_URL: "redis://from-a-variable" };
    expect((await load(file, { environment: variable })).redisUrl?.reveal()).toBe("redis://from-a-variable");
  });

  test("is the source of settings that may change while the service runs", async () => {
    const config = await load("lease-seconds: 60\nmax-calls: 5", {
      environment: { DOWNLEASE_MAX_CALLS: "6" },
    });
    const sources = config.changeable.describe({}).map(({ name, value, source }) => [name, value, source]);
    expect(sources).toContainEqual(["lease_seconds", "60", "file"]);
    expect(sources).toContainEqual(["max_calls", "6", "variable"]);
  });

  test("is named by a variable, too; the flag wins", async () => {
    await load("port: 77");
    const flags = { contentRoot: "library" };
    const named = (environment: ConfigSources["environment"], more = {}) =>
      readWholeConfig({ flags: { ...flags, ...more }, environment });
    expect((await named({ DOWNLEASE_CONFIG: path })).port).toBe(77);
    expect((await named({ DOWNLEASE_CONFIG: "/nonexistent" }, { config: path })).port).toBe(77);
    await expect(named({ DOWNLEASE_CONFIG: "/nonexistent" })).rejects.toThrow(
      "  DOWNLEASE_CONFIG names a file that can't be read (ENOENT), not '/nonexistent'",
    );
  });
});

describe("mistakes in a configuration file", () => {
  test("are reported all at once, by line, with what was probably meant", async () => {
    const lines = [
      "lease-seconds: abc",
      "leas-seconds: 3",
      "DOWNLEASE_MAX_CALLS: 3",
      "logLevel: debug",
      "--workers: 2",
      "redis: {url: redis://host}",
      "tls-cert: [a, b]",
      "fast-lane: yes",
      "grace-seconds:",
      "drain-seconds: ~",
      "cors-origins: []",
      "allowed-hosts: ['a,b']",
      "port: 1",
      "port: 2",
      "mtls-storage: [[a]]",
      "host: {a: b}",
      "jwt-type: &t at+jwt",
      "jwt-algorithms: [*t]",
      "redis-url: redis://host",
      `redis-url-file: ${secretPath}`,
    ];
    const environment = { DOWNLEASE_NOTHING: "1" };
    const mistakes = await mistakesOf(lines.join("\n"), { environment, flags: { maxCalls: "x" } });
    expect(mistakes.toSorted()).toEqual(
      [
        "F:1: lease-seconds must be a number of seconds from 0.001 to 2592000, not 'abc'",
        "F:2: leas-seconds is not a setting; did you mean lease-seconds?",
        "F:3: DOWNLEASE_MAX_CALLS is not a setting; did you mean max-calls?",
        "F:4: logLevel is not a setting; did you mean log-level?",
        "F:5: --workers is not a setting; did you mean workers?",
        "F:6: redis is not a setting; there are no groups: write redis-url",
        "F:7: tls-cert takes one value, not a list",
        "F:8: fast-lane must be one of on, off, not 'yes'",
        "F:9: grace-seconds has no value; remove it to leave it unset",
        "F:10: drain-seconds has no value; remove it to leave it unset",
        "F:11: cors-origins has no value; remove it to leave it unset",
        "F:12: allowed-hosts must not have commas within the entries of a list",
        "F:14: port is set twice",
        "F:15: mtls-storage takes a text or a list of texts, without aliases (*)",
        "F:16: host takes a value, not a group of settings",
        "F:18: jwt-algorithms takes a text or a list of texts, without aliases (*)",
        "F:20: redis-url-file must be left out with redis-url",
        "--max-calls must be a whole number from 1 to 1000000, not 'x'",
        "DOWNLEASE_NOTHING is not a setting",
      ].toSorted(),
    );
  });

  test.each([
    ["port: 'x", "F:1: a quote, a bracket, a brace or a comma is missing"],
    ["port: 1\n\thost: x", "F:2: tabs are not allowed as indentation"],
    ["port: 1\n---\nport: 2", "F:2: only one document is allowed"],
    ["? [a]\n: b", "F:1: a name must be a text"],
    ["link-keys: !s3cret x", "F:1: tags (!) are not allowed; a text that begins with one needs quotes"],
    ["link-keys: @s3cret", "F:1: a value that begins with this character needs quotes"],
    ["- port: 1", "F:1: each line must have a name and a value, such as lease-seconds: 300"],
    ["serve", "F:1: each line must have a name and a value, such as lease-seconds: 300"],
    ["[".repeat(20_000), "F:1: this is nested too deeply"],
    [Uint8Array.of(0x70, 0xff), "--config names a file that is not UTF-8, not 'F'"],
    ["#".repeat(262_145), "--config names a file of more than 262144 bytes, not 'F'"],
  ])("a file that is no file of settings, case %#", async (text, mistake) => {
    // Nothing is known of the values, so nothing is said about them.
    expect(await mistakesOf(text, { flags: { port: "x" } })).toEqual([mistake]);
  });

  test("no aliases are resolved, however many texts they would make", async () => {
    const bomb = Array.from({ length: 40 }, (_, n) => `a${n}: &a${n} [${`*a${n - 1}, `.repeat(n && 9)}x]`);
    expect(await mistakesOf(bomb.join("\n"))).toHaveLength(40);
  });
});

describe("a secret in a configuration file", () => {
  const key = `link-keys: k1=${Buffer.alloc(32, "x").toString("base64")}`;

  test("is refused when everybody may read the file", async () => {
    const text = `${key}\nredis-url: redis://:s3cret@host`;
    const rule = "is a secret, but everybody on this machine can read the file: chmod o-r it, or use";
    const mistakes = await mistakesOf(text, { mode: 0o644 });
    expect(mistakes).toEqual([
      `F:2: redis-url ${rule} redis-url-file`,
      `F:1: link-keys ${rule} link-keys-file`,
    ]);
    expect((await load(text, { mode: 0o640 })).linkKeys).toHaveLength(1);
    expect((await load("redis-url: redis://host", { mode: 0o644 })).redisUrl?.reveal()).toBe("redis://host");
  });

  test("is never repeated in a message", async () => {
    const texts = ["link-keys: s3cret", "redis-url: http://:s3cret@host", "redis-url: redis://a:s3cret/x@h"];
    for (const text of texts) expect((await mistakesOf(text)).join()).not.toContain("s3c");
  });
});

describe("variables of Kubernetes' service links", () => {
  const links = {
    DOWNLEASE_PORT: "tcp://10.0.0.1:80",
    DOWNLEASE_SERVICE_HOST: "10.0.0.1",
    DOWNLEASE_SERVICE_PORT: "80",
    DOWNLEASE_SERVICE_PORT_HTTP: "80",
    DOWNLEASE_PORT_80_TCP: "tcp://10.0.0.1:80",
    DOWNLEASE_PORT_80_TCP_PROTO: "tcp",
    DOWNLEASE_PORT_80_TCP_PORT: "80",
    DOWNLEASE_PORT_80_TCP_ADDR: "fd00::1",
    DOWNLEASE_REDIS_PORT: "tcp://[fd00::1]:6379",
    DOWNLEASE_REDIS_PORT_6379_UDP_PROTO: "udp",
    DOWNLEASE_ADMIN_SERVICE_HOST: "10.0.0.2",
  };

  test("count as unset, and are named", () => {
    const environment = { ...links, DOWNLEASE_MAX_CALLS: "9", DOWNLEASE_HOST: "", HOME: "tcp://10.0.0.1:80" };
    const config = loadConfig({ flags: { contentRoot: "library" }, environment });
    expect([config.port, config.maxCalls]).toEqual([8080, 9]);
    expect(serviceLinksIn(environment)).toEqual(Object.keys(links));
  });

  test.each([
    ["DOWNLEASE_PORT", "tcp"],
    ["DOWNLEASE_PORT", "http://10.0.0.1:80"],
    ["DOWNLEASE_HOST", "tcp://10.0.0.1:80"],
    ["DOWNLEASE_SERVICE_HOST", "service.example"],
    ["DOWNLEASE_SERVICE_PORT", "x"],
    ["DOWNLEASE_PORT_80_TCP", "80"],
    ["DOWNLEASE_PORT_80_TCP_PROTO", "http"],
    ["DOWNLEASE_PORTS", "tcp://10.0.0.1:80"],
  ])("%s=%s is none", (variable, value) => {
    const environment = { [variable]: value };
    expect(() => loadConfig({ flags: { contentRoot: "library" }, environment })).toThrow(variable);
    expect(serviceLinksIn(environment)).toEqual([]);
  });
});
