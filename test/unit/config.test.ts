import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { clientSettings } from "../../src/config/client-settings.ts";
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
      ["--config", "DOWNLEASE_CONFIG", "unset"],
      ["--host", "DOWNLEASE_HOST", "127.0.0.1"],
      ["--port", "DOWNLEASE_PORT", "8080"],
      ["--workers", "DOWNLEASE_WORKERS", "1"],
      [
        "--content-root",
        "DOWNLEASE_CONTENT_ROOT",
        "examples/library in a checkout, else required without --s3-bucket",
      ],
      ["--s3-bucket", "DOWNLEASE_S3_BUCKET", "unset"],
      ["--s3-prefix", "DOWNLEASE_S3_PREFIX", "the whole bucket"],
      ["--s3-endpoint", "DOWNLEASE_S3_ENDPOINT", "AWS"],
      ["--s3-public-endpoint", "DOWNLEASE_S3_PUBLIC_ENDPOINT", "that of the service"],
      [
        "--s3-region",
        "DOWNLEASE_S3_REGION",
        "from AWS_REGION or the shared configuration; us-east-1 with --s3-endpoint",
      ],
      ["--cache-dir", "DOWNLEASE_CACHE_DIR", "unset: nothing is cached"],
      ["--cache-bytes", "DOWNLEASE_CACHE_BYTES", "10GiB with --cache-dir"],
      ["--cache-fresh-seconds", "DOWNLEASE_CACHE_FRESH_SECONDS", "10 with --cache-dir"],
      ["--prepare-seconds", "DOWNLEASE_PREPARE_SECONDS", "10"],
      ["--verify-first", "DOWNLEASE_VERIFY_FIRST", "off"],
      ["--prepare-ahead", "DOWNLEASE_PREPARE_AHEAD", "off"],
      ["--redis-url", "DOWNLEASE_REDIS_URL", "unset, sessions are kept in SQLite"],
      ["--redis-url-file", "DOWNLEASE_REDIS_URL_FILE", "unset"],
      ["--redis-ca", "DOWNLEASE_REDIS_CA", "those of Node.js"],
      ["--redis-cert", "DOWNLEASE_REDIS_CERT", "unset"],
      ["--redis-key", "DOWNLEASE_REDIS_KEY", "unset"],
      ["--redis-sentinel-user", "DOWNLEASE_REDIS_SENTINEL_USER", "unset"],
      ["--redis-sentinel-password", "DOWNLEASE_REDIS_SENTINEL_PASSWORD", "unset"],
      ["--redis-sentinel-password-file", "DOWNLEASE_REDIS_SENTINEL_PASSWORD_FILE", "unset"],
      ["--redis-wait-replicas", "DOWNLEASE_REDIS_WAIT_REPLICAS", "0"],
      ["--sqlite-path", "DOWNLEASE_SQLITE_PATH", "downlease.db"],
      ["--lease-seconds", "DOWNLEASE_LEASE_SECONDS", "300"],
      ["--retention-seconds", "DOWNLEASE_RETENTION_SECONDS", "the lease length"],
      ["--max-sessions-per-principal", "DOWNLEASE_MAX_SESSIONS_PER_PRINCIPAL", "10000"],
      ["--max-downtime-seconds", "DOWNLEASE_MAX_DOWNTIME_SECONDS", "3600"],
      ["--grace-seconds", "DOWNLEASE_GRACE_SECONDS", "10"],
      ["--transfer-grace-seconds", "DOWNLEASE_TRANSFER_GRACE_SECONDS", "0"],
      ["--drain-seconds", "DOWNLEASE_DRAIN_SECONDS", "0"],
      ["--tls-cert", "DOWNLEASE_TLS_CERT", "unset"],
      ["--tls-key", "DOWNLEASE_TLS_KEY", "unset"],
      ["--auth", "DOWNLEASE_AUTH", "required with --users-file, --jwt-jwks or --mtls-ca, else none"],
      ["--insecure-no-auth", "DOWNLEASE_INSECURE_NO_AUTH", "off"],
      ["--users-file", "DOWNLEASE_USERS_FILE", "unset"],
      ["--jwt-jwks", "DOWNLEASE_JWT_JWKS", "unset"],
      ["--jwt-issuer", "DOWNLEASE_JWT_ISSUER", "required with --jwt-jwks"],
      ["--jwt-audience", "DOWNLEASE_JWT_AUDIENCE", "required with --jwt-jwks"],
      ["--jwt-algorithms", "DOWNLEASE_JWT_ALGORITHMS", "RS256,PS256,ES256,EdDSA"],
      ["--jwt-type", "DOWNLEASE_JWT_TYPE", "JWT, at+jwt and none"],
      ["--jwt-clock-tolerance-seconds", "DOWNLEASE_JWT_CLOCK_TOLERANCE_SECONDS", "30"],
      ["--jwt-principal-claim", "DOWNLEASE_JWT_PRINCIPAL_CLAIM", "sub"],
      ["--jwt-role-claim", "DOWNLEASE_JWT_ROLE_CLAIM", "roles"],
      ["--mtls-ca", "DOWNLEASE_MTLS_CA", "unset"],
      ["--mtls-admins", "DOWNLEASE_MTLS_ADMINS", "unset"],
      ["--mtls-storage", "DOWNLEASE_MTLS_STORAGE", "unset"],
      ["--logins-per-principal", "DOWNLEASE_LOGINS_PER_PRINCIPAL", "1000"],
      ["--login-idle-seconds", "DOWNLEASE_LOGIN_IDLE_SECONDS", "1800"],
      ["--login-lifetime-seconds", "DOWNLEASE_LOGIN_LIFETIME_SECONDS", "172800"],
      ["--login-failures-per-user", "DOWNLEASE_LOGIN_FAILURES_PER_USER", "20"],
      ["--login-failures-per-address", "DOWNLEASE_LOGIN_FAILURES_PER_ADDRESS", "20"],
      ["--public-url", "DOWNLEASE_PUBLIC_URL", "derived from the request"],
      ["--trusted-proxies", "DOWNLEASE_TRUSTED_PROXIES", "none"],
      ["--link-keys", "DOWNLEASE_LINK_KEYS", "one that the store keeps"],
      ["--link-keys-file", "DOWNLEASE_LINK_KEYS_FILE", "unset"],
      ["--transfer-stall-seconds", "DOWNLEASE_TRANSFER_STALL_SECONDS", "60"],
      ["--max-transfers", "DOWNLEASE_MAX_TRANSFERS", "1000"],
      ["--transfer-bandwidth-mbps", "DOWNLEASE_TRANSFER_BANDWIDTH_MBPS", "0"],
      ["--offload", "DOWNLEASE_OFFLOAD", "none"],
      ["--offload-prefix", "DOWNLEASE_OFFLOAD_PREFIX", "/_content/"],
      ["--cors-origins", "DOWNLEASE_CORS_ORIGINS", "none"],
      ["--admin-listen", "DOWNLEASE_ADMIN_LISTEN", "127.0.0.1:9480"],
      ["--console", "DOWNLEASE_CONSOLE", "on"],
      ["--allowed-hosts", "DOWNLEASE_ALLOWED_HOSTS", "none"],
      ["--max-body-bytes", "DOWNLEASE_MAX_BODY_BYTES", "65536"],
      ["--max-calls", "DOWNLEASE_MAX_CALLS", "1000"],
      ["--max-connections", "DOWNLEASE_MAX_CONNECTIONS", "10000"],
      ["--max-streams", "DOWNLEASE_MAX_STREAMS", "2000"],
      ["--max-watches", "DOWNLEASE_MAX_WATCHES", "500"],
      ["--fast-lane", "DOWNLEASE_FAST_LANE", "on"],
      ["--log-level", "DOWNLEASE_LOG_LEVEL", "info"],
      ["--log-format", "DOWNLEASE_LOG_FORMAT", "auto"],
      ["--audit-log", "DOWNLEASE_AUDIT_LOG", "off"],
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
      content: { kind: "directory", root: "library" },
      redisUrl: undefined,
      redis: { waitReplicas: 0 },
      sqlitePath: "downlease.db",
      leaseMs: 300_000,
      retentionMs: 300_000,
      maxSessionsPerPrincipal: 10_000,
      maxDowntimeMs: 3_600_000,
      graceMs: 10_000,
      transferGraceMs: 0,
      drainMs: 0,
      tls: undefined,
      auth: "none",
      insecureNoAuth: false,
      usersFile: undefined,
      jwt: undefined,
      mtls: undefined,
      loginsPerPrincipal: 1000,
      login: { idleMs: 1_800_000, lifetimeMs: 172_800_000, failures: { perUser: 20, perAddress: 20 } },
      publicUrl: undefined,
      linkKeys: [],
      trustedProxies: [],
      transferStallMs: 60_000,
      maxTransfers: 1000,
      transferBandwidthMbps: 0,
      prepareMs: 10_000,
      verifyFirst: false,
      prepareAhead: "off",
      offload: undefined,
      corsOrigins: [],
      adminListen: { host: "127.0.0.1", port: 9480, isDefault: true },
      allowedHosts: [],
      maxBodyBytes: 65_536,
      maxCalls: 1000,
      maxConnections: 10_000,
      maxStreams: 2000,
      maxWatches: 500,
      fastLane: true,
      console: true,
      logLevel: "info",
      logFormat: "auto",
      auditLog: "off",
      changeable: expect.anything(),
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

  test("variables of other programs are ignored", () => {
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

  test.each([
    ["off", undefined],
    ["127.0.0.1:9480", { host: "127.0.0.1", port: 9480, isDefault: false }],
    ["0.0.0.0:0", { host: "0.0.0.0", port: 0, isDefault: false }],
    ["[::1]:65535", { host: "::1", port: 65_535, isDefault: false }],
    ["metrics.example:1", { host: "metrics.example", port: 1, isDefault: false }],
  ])("%s as admin address", (adminListen, expected) => {
    expect(load({ adminListen }).adminListen).toEqual(expected);
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
  ])("%s is not a valid origin", (corsOrigins) => {
    expect(mistakesOf({ flags: { contentRoot: "library", corsOrigins } })).toEqual([
      expect.stringMatching(/^--cors-origins must be origins such as https:/),
    ]);
  });

  test("a retention of its own", () => {
    expect(load({ retentionSeconds: "1.5" })).toMatchObject({ leaseMs: 300_000, retentionMs: 1500 });
  });

  test("the content root falls back to the given default", () => {
    const sources = { flags: {}, environment: {}, defaultContentRoot: "examples" };
    const content = (environment: ConfigSources["environment"]) =>
      loadConfig({ ...sources, environment }).content;
    expect(content({})).toEqual({ kind: "directory", root: "examples" });
    expect(content({ DOWNLEASE_CONTENT_ROOT: "own" })).toEqual({ kind: "directory", root: "own" });
    expect(content({ DOWNLEASE_S3_BUCKET: "images" })).toMatchObject({ kind: "s3", bucket: "images" });
  });

  test.each([
    [{ s3Bucket: "images" }, { bucket: "images", prefix: "", endpoint: undefined, region: undefined }],
    [
      {
        s3Bucket: "My.Images_1",
        s3Prefix: "a b/\u00e9",
        s3Endpoint: "http://minio:9000/s3",
        s3PublicEndpoint: "https://images.example",
        s3Region: "eu-central-1",
      },
      {
        bucket: "My.Images_1",
        prefix: "a b/\u00e9/",
        endpoint: "http://minio:9000/s3",
        publicEndpoint: "https://images.example",
        region: "eu-central-1",
      },
    ],
    [
      { s3Bucket: "arn:aws:s3:eu-west-1:123456789012:accesspoint/images", s3Prefix: "released/" },
      { bucket: "arn:aws:s3:eu-west-1:123456789012:accesspoint/images", prefix: "released/" },
    ],
  ])("a bucket: %j", (flags, content) => {
    const loaded = loadConfig({ flags, environment: {} });
    expect(loaded.content).toMatchObject({ kind: "s3", ...content });
    expect(Object.isFrozen(loaded.content)).toBe(true);
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
  test("are reported all at once, by the name that the user wrote", () => {
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
      "--content-root (or DOWNLEASE_CONTENT_ROOT) must be set, or --s3-bucket",
      "DOWNLEASE_REDIS_URL must start with redis://, rediss://, redis+cluster:// or redis+sentinel://",
      "--lease-seconds must be a number of seconds from 0.001 to 2592000, not '0'",
      "--drain-seconds must be less than the shutdown timeout, --grace-seconds, not '11'",
      "--tls-key (or DOWNLEASE_TLS_KEY) must be set: certificate and key belong together",
      "DOWNLEASE_LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent, not 'loud'",
      "DOWNLEASE_LEASE_SECOND is not a setting; did you mean DOWNLEASE_LEASE_SECONDS?",
      "DOWNLEASE_COLOUR is not a setting",
    ]);
  });

  test("the variables of the commands that call a service are ignored", () => {
    const environment = Object.fromEntries(
      clientSettings.flatMap(({ variable }) => (variable === undefined ? [] : [[variable, "anything"]])),
    );
    expect(Object.keys(environment)).toContain("DOWNLEASE_PASSWORD");
    expect(() => loadConfig({ flags: { contentRoot: "library" }, environment })).not.toThrow();
    expect(() =>
      loadConfig({ flags: { contentRoot: "library" }, environment: { DOWNLEASE_SERVR: "x" } }),
    ).toThrow("DOWNLEASE_SERVR is not a setting; did you mean DOWNLEASE_SERVER?");
  });

  test("the message has them one a line", () => {
    expect(() => loadConfig({ flags: { port: "x" }, environment: {} })).toThrow(
      [
        "The configuration is wrong:",
        "  --port must be a whole number from 0 to 65535, not 'x'",
        "  --content-root (or DOWNLEASE_CONTENT_ROOT) must be set, or --s3-bucket",
      ].join("\n"),
    );
  });

  test.each([
    ["port", ["-1", "1.5", "0x50", "65536", " 80", "8080a"]],
    [
      "adminListen",
      [
        "",
        "on",
        "9480",
        ":9480",
        "127.0.0.1",
        "127.0.0.1:",
        "::1:9480",
        "[127.0.0.1]:1",
        "a:65536",
        "http://a:1",
      ],
    ],
    ["allowedHosts", ["", "dl.example:443", "https://dl.example", "*dl.example", "a.*.example", "a b", "a,"]],
    ["host", ["", "a b", "[::1]", "http://host", "host:80", "a..b", "x".repeat(64)]],
    ["workers", ["0", "129", "two"]],
    ["contentRoot", [""]],
    ["cacheBytes", ["", "0", "16383KiB", "-1", "1GiBB", "ten"]],
    ["s3Bucket", ["", "ab", "a/b", "-ab", "b\u00fccher", "x".repeat(64), "arn:aws:s3 x"]],
    ["s3Prefix", ["", "/", "/a", "a//b", "a//", "../a", "a/./b", "a\nb", "x".repeat(513)]],
    [
      "s3Endpoint",
      [
        "",
        "minio:9000",
        "ftp://host",
        "https://",
        "https://user:secret@host",
        "http://host/?a",
        "http://host/#a",
      ],
    ],
    ["s3Region", ["", "eu central", "x".repeat(64)]],
    ["sqlitePath", [""]],
    ["redisWaitReplicas", ["-1", "1.5", "101", "all"]],
    ["redisUrl", ["", "redis://", "redis:host", "rediss+master://host", "localhost:6379"]],
    ["leaseSeconds", ["0", "0.0004", "-1", "1e3", "Infinity", "NaN", "2592000.001", "", ".", "5s"]],
    ["retentionSeconds", ["0", "-5", "2592001"]],
    ["graceSeconds", ["0", "3601"]],
    ["drainSeconds", ["-1", "10", "3601"]],
    ["auth", ["", "off", "required "]],
    ["insecureNoAuth", ["yes", "true"]],
    ["usersFile", [""]],
    ["jwtJwks", ["", "ftp://host/keys", "https://", "https://user:secret@host/keys"]],
    ["jwtAlgorithms", ["", "none", "HS256", "RS256,HS256", "rs256", "RS256,"]],
    ["jwtClockToleranceSeconds", ["-1", "601"]],
    ["jwtPrincipalClaim", [""]],
    ["jwtRoleClaim", [""]],
    ["mtlsAdmins", ["", "a,,b"]],
    ["loginIdleSeconds", ["0", "2592001"]],
    ["loginLifetimeSeconds", ["0", "31536001"]],
    ["loginFailuresPerUser", ["-1", "some"]],
    ["loginFailuresPerAddress", ["-1", "1000001"]],
    ["maxBodyBytes", ["0", "64k", "67108865"]],
    ["maxCalls", ["0", "many", "1000001"]],
    ["fastLane", ["yes", "true", "ON"]],
    ["logLevel", ["INFO", "verbose"]],
    ["logFormat", ["text"]],
    ["auditLog", [""]],
  ] as const)("%s is refused when it is one of %j", (name, texts) => {
    const { flag } = settings.find((setting) => setting.name === name)!;
    for (const text of texts) {
      const mistakes = mistakesOf({ flags: { contentRoot: "library", [name]: text } });
      expect(mistakes, text).toHaveLength(1);
      expect(mistakes[0]).toMatch(new RegExp(`^${flag} must `));
    }
  });

  test("a cache is for a bucket, and its settings are for a cache", () => {
    const cacheOf = (flags: Record<string, string>) => {
      const { content } = loadConfig({ flags: { s3Bucket: "images", ...flags }, environment: {} });
      return content.kind === "s3" && [content.cache, content.freshMs];
    };
    expect(cacheOf({})).toEqual([undefined, undefined]);
    expect(cacheOf({ cacheDir: "c" })).toEqual([{ path: "c", limit: 10 * 2 ** 30 }, 10_000]);
    expect(cacheOf({ cacheDir: "c", cacheBytes: "1.5T", cacheFreshSeconds: "0" })).toEqual([
      { path: "c", limit: 1.5 * 2 ** 40 },
      0,
    ]);
    expect(mistakesOf({ flags: { contentRoot: "library", cacheDir: "c" } })).toEqual([
      "--cache-dir must be left out without --s3-bucket: files of a directory need no cache, not 'c'",
    ]);
    expect(mistakesOf({ flags: { s3Bucket: "images", cacheBytes: "1G", cacheFreshSeconds: "1" } })).toEqual([
      "--cache-bytes must be left out without --cache-dir, not '1G'",
      "--cache-fresh-seconds must be left out without --cache-dir, not '1'",
    ]);
  });

  test("a content root and a bucket exclude each other, and a bucket's settings need one", () => {
    expect(mistakesOf({ flags: { contentRoot: "library", s3Bucket: "images" } })).toEqual([
      "--s3-bucket must be left out with --content-root, not 'images'",
    ]);
    const s3PublicEndpoint = "https://host";
    const flags = {
      contentRoot: "library",
      s3Prefix: "a",
      s3Endpoint: "http://host",
      s3PublicEndpoint,
      s3Region: "eu",
    };
    expect(mistakesOf({ flags })).toEqual([
      "--s3-prefix must be left out without --s3-bucket, not 'a'",
      "--s3-endpoint must be left out without --s3-bucket, not 'http://host'",
      "--s3-public-endpoint must be left out without --s3-bucket, not 'https://host'",
      "--s3-region must be left out without --s3-bucket, not 'eu'",
    ]);
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

  test("replicas to wait for need a Redis", () => {
    const flags = { contentRoot: "library", redisWaitReplicas: "1" };
    expect(mistakesOf({ flags })).toEqual(["--redis-wait-replicas must be 0 without --redis-url, not '1'"]);
    expect(load({ ...flags, redisUrl: "redis://host" }).redis.waitReplicas).toBe(1);
  });

  test("a drain that is too long is reported only when the grace time itself is valid", () => {
    expect(
      mistakesOf({ flags: { contentRoot: "library", graceSeconds: "soon", drainSeconds: "5" } }),
    ).toEqual(["--grace-seconds must be a number of seconds from 0.001 to 3600, not 'soon'"]);
  });

  test("a Redis URL that the store can't use is reported with the others, without the URL", () => {
    const mistakes = mistakesOf({
      flags: { redisUrl: "redis://user:secret@host:0" },
      environment: {},
      checkRedisUrl: () => {
        throw new Error("has a bad port");
      },
    });
    expect(mistakes).toEqual([
      "--content-root (or DOWNLEASE_CONTENT_ROOT) must be set, or --s3-bucket",
      "--redis-url has a bad port",
    ]);
  });
});

describe("authentication", () => {
  const jwt = { jwtJwks: "keys.json", jwtIssuer: "https://issuer", jwtAudience: "downlease" };
  const tls = { tlsCert: "cert.pem", tlsKey: "key.pem" };
  const mistakes = (flags: ConfigSources["flags"]) =>
    mistakesOf({ flags: { contentRoot: "library", ...flags } });

  test.each([
    ["users", { usersFile: "users" }, { usersFile: "users", jwt: undefined, mtls: undefined }],
    [
      "tokens",
      {
        ...jwt,
        jwtAlgorithms: "ES256, EdDSA",
        jwtClockToleranceSeconds: "0.5",
        jwtRoleClaim: "groups",
        jwtType: "at+jwt, application/x",
      },
      {
        usersFile: undefined,
        jwt: {
          jwks: "keys.json",
          issuer: "https://issuer",
          audience: "downlease",
          algorithms: ["ES256", "EdDSA"],
          types: ["at+jwt", "application/x"],
          clockToleranceMs: 500,
          principalClaim: "sub",
          roleClaim: "groups",
        },
        mtls: undefined,
      },
    ],
    [
      "certificates",
      { ...tls, mtlsCa: "ca.pem", mtlsAdmins: "ops, root" },
      {
        usersFile: undefined,
        jwt: undefined,
        mtls: { ca: "ca.pem", namesByRole: { admin: ["ops", "root"], storage: [] } },
      },
    ],
    [
      "certificates, some of which may read storage",
      { ...tls, mtlsCa: "ca.pem", mtlsStorage: "mirror , ops" },
      {
        usersFile: undefined,
        jwt: undefined,
        mtls: { ca: "ca.pem", namesByRole: { admin: [], storage: ["mirror", "ops"] } },
      },
    ],
  ] as const)(
    "%s require authentication, with and without --auth required, on every host",
    (_, flags, expected) => {
      for (const config of [load(flags), load({ ...flags, auth: "required", host: "0.0.0.0" })]) {
        const { auth, usersFile, jwt, mtls } = config;
        expect({ auth, usersFile, jwt, mtls }).toEqual({ auth: "required", ...expected });
      }
    },
  );

  test.each([
    "127.0.0.1",
    "127.8.9.10",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "localhost",
    "LOCALHOST.",
  ])("%s is loopback, where authentication is not required", (host) => {
    expect(load({ host }).auth).toBe("none");
    expect(load({ host, auth: "none" }).auth).toBe("none");
  });

  test.each(["0.0.0.0", "::", "192.168.0.1", "128.0.0.1", "::2", "example.org", "localhost.example.org"])(
    "%s is not loopback, and refused without --insecure-no-auth",
    (host) => {
      for (const auth of [{}, { auth: "none" }]) {
        expect(mistakes({ host, ...auth })).toEqual([
          expect.stringMatching(/^--host must be a loopback address while every caller is anonymous/),
        ]);
        expect(load({ host, ...auth, insecureNoAuth: "on" }).auth).toBe("none");
      }
    },
  );

  test("--insecure-no-auth does not turn authentication off", () => {
    expect(load({ usersFile: "users", insecureNoAuth: "on" }).auth).toBe("required");
  });

  test("all contradictions are reported at once", () => {
    expect(
      mistakes({ auth: "none", usersFile: "users", loginIdleSeconds: "5", loginLifetimeSeconds: "4" }),
    ).toEqual([
      "--auth must be required or left out with --users-file, --jwt-jwks or --mtls-ca, not 'none'",
      "--login-idle-seconds must not be more than the lifetime of a login session, not '5'",
    ]);
    expect(mistakes({ auth: "required", host: "0.0.0.0" })).toEqual([
      "--auth must be none or left out without --users-file, --jwt-jwks or --mtls-ca, not 'required'",
    ]);
    expect(mistakes({ jwtJwks: "https://issuer/keys" })).toEqual([
      expect.stringMatching(/^--jwt-issuer \(or DOWNLEASE_JWT_ISSUER\) must be set/),
      expect.stringMatching(/^--jwt-audience \(or DOWNLEASE_JWT_AUDIENCE\) must be set/),
    ]);
    expect(mistakes({ jwtIssuer: "https://issuer" })).toEqual([
      expect.stringMatching(/^--jwt-jwks .* must be set/),
    ]);
    expect(mistakes({ mtlsCa: "ca.pem" })).toEqual([expect.stringMatching(/^--tls-cert .* must be set/)]);
    expect(mistakes({ mtlsAdmins: "ops" })).toEqual([expect.stringMatching(/^--mtls-ca .* must be set/)]);
  });
});

describe("what Redis needs besides its URL", () => {
  const redisUrl = "rediss+sentinel://:secret@host/master";

  test("is kept, the password not shown", () => {
    const { redis } = load({
      redisUrl,
      redisCa: "ca.pem",
      redisCert: "cert.pem",
      redisKey: "key.pem",
      redisSentinelUser: "us",
      redisSentinelPassword: "hidden",
    });
    expect(redis).toMatchObject({ ca: "ca.pem", cert: "cert.pem", key: "key.pem", sentinelUser: "us" });
    expect(redis.sentinelPassword?.reveal()).toBe("hidden");
    expect(inspect(redis) + JSON.stringify(redis)).not.toContain("hidden");
  });

  test.each([
    [{ redisUrl, redisCert: "cert.pem" }, "--redis-key (or DOWNLEASE_REDIS_KEY) must be set: certificate"],
    [{ redisUrl, redisKey: "key.pem" }, "--redis-cert (or DOWNLEASE_REDIS_CERT) must be set: certificate"],
    [{ redisUrl: "redis://host", redisCa: "ca.pem" }, "--redis-url must start with rediss"],
    [{ redisCa: "ca.pem" }, "--redis-url (or DOWNLEASE_REDIS_URL) must start with rediss"],
    [{ redisUrl: "redis://host", redisSentinelPassword: "hidden" }, "--redis-url must name sentinels"],
    [
      { redisUrl, redisSentinelUser: "us" },
      "--redis-sentinel-password (or DOWNLEASE_REDIS_SENTINEL_PASSWORD)",
    ],
  ])("%j is refused", (flags, message) => {
    const mistakes = mistakesOf({ flags: { contentRoot: "library", ...flags } });
    expect(mistakes).toEqual([expect.stringContaining(message)]);
    expect(mistakes.join()).not.toMatch(/hidden|:secret/);
  });
});
