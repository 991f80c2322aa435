import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { ConfigError, type ConfigSources, loadConfig } from "../../src/config/load.ts";
import { settings } from "../../src/config/settings.ts";

const load = (flags: ConfigSources["flags"] = {}, environment: ConfigSources["environment"] = {}) =>
  loadConfig({ flags: { contentRoot: "library", ...flags }, environment });

function mistakesOf(sources: Partial<ConfigSources>): readonly string[] {
  try {
    loadConfig({ flags: {}, environment: {}, ...sources });
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

describe("settings", () => {
  test("flags and variables are the documented ones", () => {
    expect(settings.map(({ flag, variable, default: fallback }) => [flag, variable, fallback])).toEqual([
      ["--host", "DOWNLEASE_HOST", "127.0.0.1"],
      ["--port", "DOWNLEASE_PORT", "8080"],
      ["--workers", "DOWNLEASE_WORKERS", "1"],
      ["--content-root", "DOWNLEASE_CONTENT_ROOT", "examples/library in a checkout, else required"],
      ["--redis-url", "DOWNLEASE_REDIS_URL", "unset, sessions are kept in SQLite"],
      ["--sqlite-path", "DOWNLEASE_SQLITE_PATH", "downlease.db"],
      ["--lease-seconds", "DOWNLEASE_LEASE_SECONDS", "300"],
      ["--retention-seconds", "DOWNLEASE_RETENTION_SECONDS", "the lease length"],
      ["--grace-seconds", "DOWNLEASE_GRACE_SECONDS", "10"],
      ["--drain-seconds", "DOWNLEASE_DRAIN_SECONDS", "0"],
      ["--tls-cert", "DOWNLEASE_TLS_CERT", "unset"],
      ["--tls-key", "DOWNLEASE_TLS_KEY", "unset"],
      ["--cors-origins", "DOWNLEASE_CORS_ORIGINS", "none"],
      ["--max-body-bytes", "DOWNLEASE_MAX_BODY_BYTES", "65536"],
      ["--max-calls", "DOWNLEASE_MAX_CALLS", "1000"],
      ["--fast-lane", "DOWNLEASE_FAST_LANE", "on"],
      ["--log-level", "DOWNLEASE_LOG_LEVEL", "info"],
      ["--log-format", "DOWNLEASE_LOG_FORMAT", "auto"],
    ]);
  });

  test("each has one line of help", () => {
    for (const { help } of settings) expect(help).toMatch(/^[^\n]{10,120}$/);
  });
});

describe("a right configuration", () => {
  test("defaults", () => {
    expect(load()).toEqual({
      host: "127.0.0.1",
      port: 8080,
      workers: 1,
      contentRoot: "library",
      redisUrl: undefined,
      sqlitePath: "downlease.db",
      leaseMs: 300_000,
      retentionMs: 300_000,
      graceMs: 10_000,
      drainMs: 0,
      tls: undefined,
      corsOrigins: [],
      maxBodyBytes: 65_536,
      maxCalls: 1000,
      fastLane: true,
      logLevel: "info",
      logFormat: "auto",
    });
  });

  test("is frozen, TLS paths included", () => {
    const config = load({ tlsCert: "cert.pem", tlsKey: "key.pem" });
    expect(Object.isFrozen(config)).toBe(true);
    expect(config.tls).toEqual({ cert: "cert.pem", key: "key.pem" });
    expect(Object.isFrozen(config.tls)).toBe(true);
  });

  test("a flag wins over its variable", () => {
    expect(load({ port: "1" }, { DOWNLEASE_PORT: "2", DOWNLEASE_HOST: "::1" })).toMatchObject({
      port: 1,
      host: "::1",
    });
  });

  test("an empty variable is unset, a known one and an unknown one", () => {
    expect(load({}, { DOWNLEASE_PORT: "", DOWNLEASE_FORMER: "" }).port).toBe(8080);
  });

  test("variables of others are none of our business", () => {
    expect(load({}, { PATH: "/bin", DOWNLEASER: "x" }).port).toBe(8080);
  });

  test.each([
    ["300", 300_000],
    ["0.3", 300],
    ["0.0015", 2],
    ["2592000", 2_592_000_000],
  ])("a lease of %s seconds is %d ms, and so is the retention", (leaseSeconds, leaseMs) => {
    expect(load({ leaseSeconds })).toMatchObject({ leaseMs, retentionMs: leaseMs });
  });

  test("origins of other pages", () => {
    const { corsOrigins } = load({ corsOrigins: "https://portal.example, http://[::1]:5173" });
    expect(corsOrigins).toEqual(["https://portal.example", "http://[::1]:5173"]);
    expect(Object.isFrozen(corsOrigins)).toBe(true);
  });

  test.each([
    "*",
    "null",
    "https://*.example",
    "portal.example",
    "https://portal.example/",
    "https://portal.example:443",
    "https://Portal.example",
    "https://user@portal.example",
    "ftp://portal.example",
    "https://portal.example,",
    "https://a.example https://b.example",
  ])("%s is no origin", (corsOrigins) => {
    expect(mistakesOf({ flags: { contentRoot: "library", corsOrigins } })).toEqual([
      expect.stringMatching(/^--cors-origins must be origins such as https:/),
    ]);
  });

  test("a retention of its own", () => {
    expect(load({ retentionSeconds: "1.5" })).toMatchObject({ leaseMs: 300_000, retentionMs: 1500 });
  });

  test("the content root falls back to the given default", () => {
    const sources = { flags: {}, environment: {}, defaultContentRoot: "examples" };
    expect(loadConfig(sources).contentRoot).toBe("examples");
    expect(loadConfig({ ...sources, environment: { DOWNLEASE_CONTENT_ROOT: "own" } }).contentRoot).toBe(
      "own",
    );
  });

  test.each([
    ["redis://user:secret@host:6379/1", "redis://***@host:6379/1"],
    ["rediss+cluster://:secret@a:1,b:2", "rediss+cluster://***@a:1,b:2"],
    ["redis://user:sec@ret@host", "redis://***@host"],
    ["redis://host:6379", "redis://host:6379"],
  ])("%s prints as %s and reveals itself only when asked", (url, printed) => {
    const { redisUrl } = load({ redisUrl: url });
    expect(`${redisUrl}`).toBe(printed);
    expect(inspect({ redisUrl })).toBe(`{ redisUrl: ${printed} }`);
    expect(JSON.stringify({ redisUrl })).toBe(JSON.stringify({ redisUrl: printed }));
    expect(redisUrl?.reveal()).toBe(url);
  });
});

describe("mistakes", () => {
  test("are told all at once, by the name the user used", () => {
    const mistakes = mistakesOf({
      flags: { port: "70000", leaseSeconds: "0", drainSeconds: "11", tlsCert: "cert.pem" },
      environment: {
        DOWNLEASE_LOG_LEVEL: "loud",
        DOWNLEASE_REDIS_URL: "http://user:secret@host",
        DOWNLEASE_LEASE_SECOND: "5",
        DOWNLEASE_COLOUR: "red",
      },
    });
    expect(mistakes).toEqual([
      "--port must be a whole number from 0 to 65535, not '70000'",
      "--content-root (or DOWNLEASE_CONTENT_ROOT) must be set",
      "DOWNLEASE_REDIS_URL must start with redis://, rediss://, redis+cluster:// or redis+sentinel://",
      "--lease-seconds must be a number of seconds from 0.001 to 2592000, not '0'",
      "--drain-seconds must be less than the grace, not '11'",
      "--tls-key (or DOWNLEASE_TLS_KEY) must be set: certificate and key belong together",
      "DOWNLEASE_LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent, not 'loud'",
      "DOWNLEASE_LEASE_SECOND is not a setting; did you mean DOWNLEASE_LEASE_SECONDS?",
      "DOWNLEASE_COLOUR is not a setting",
    ]);
  });

  test("the message has them one a line", () => {
    expect(() => loadConfig({ flags: { port: "x" }, environment: {} })).toThrow(
      [
        "The configuration is wrong:",
        "  --port must be a whole number from 0 to 65535, not 'x'",
        "  --content-root (or DOWNLEASE_CONTENT_ROOT) must be set",
      ].join("\n"),
    );
  });

  test.each([
    ["port", ["-1", "1.5", "0x50", "65536", " 80", "8080a"]],
    ["host", ["", "a b", "[::1]", "http://host", "host:80", "a..b", "x".repeat(64)]],
    ["workers", ["0", "129", "two"]],
    ["contentRoot", [""]],
    ["sqlitePath", [""]],
    ["redisUrl", ["", "redis://", "redis:host", "rediss+master://host", "localhost:6379"]],
    ["leaseSeconds", ["0", "0.0004", "-1", "1e3", "Infinity", "NaN", "2592000.001", "", ".", "5s"]],
    ["retentionSeconds", ["0", "-5", "2592001"]],
    ["graceSeconds", ["0", "3601"]],
    ["drainSeconds", ["-1", "10", "3601"]],
    ["maxBodyBytes", ["0", "64k", "67108865"]],
    ["maxCalls", ["0", "many", "1000001"]],
    ["fastLane", ["yes", "true", "ON"]],
    ["logLevel", ["INFO", "verbose"]],
    ["logFormat", ["text"]],
  ] as const)("%s is refused when it is one of %j", (name, texts) => {
    const { flag } = settings.find((setting) => setting.name === name)!;
    for (const text of texts) {
      const mistakes = mistakesOf({ flags: { contentRoot: "library", [name]: text } });
      expect(mistakes, text).toHaveLength(1);
      expect(mistakes[0]).toMatch(new RegExp(`^${flag} must `));
    }
  });

  test("sessions in memory are for one worker, sessions in Redis and in a file for any number", () => {
    const flags = { contentRoot: "library", workers: "2", sqlitePath: ":memory:" };
    expect(mistakesOf({ flags })).toEqual([
      "--workers must be 1 when sessions are kept in :memory:, which processes can't share, not '2'",
    ]);
    expect(load({ ...flags, workers: "1" }).workers).toBe(1);
    expect(load({ ...flags, redisUrl: "redis://host" }).workers).toBe(2);
    expect(load({ ...flags, sqlitePath: "sessions.db" }).workers).toBe(2);
  });

  test("a drain as long as the grace is one only once the grace itself is right", () => {
    expect(
      mistakesOf({ flags: { contentRoot: "library", graceSeconds: "soon", drainSeconds: "5" } }),
    ).toEqual(["--grace-seconds must be a number of seconds from 0.001 to 3600, not 'soon'"]);
  });

  test("a Redis URL that the store can't use is told along with the others, without the URL", () => {
    const mistakes = mistakesOf({
      flags: { redisUrl: "redis://user:secret@host:0" },
      environment: {},
      checkRedisUrl: () => {
        throw new Error("has a bad port");
      },
    });
    expect(mistakes).toEqual([
      "--content-root (or DOWNLEASE_CONTENT_ROOT) must be set",
      "--redis-url has a bad port",
    ]);
  });
});
