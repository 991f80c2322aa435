import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientSettings } from "../../src/config/client-settings.ts";
import { ConfigError, type ConfigSources, loadConfig } from "../../src/config/load.ts";
import { fieldSettings } from "../../src/config/settings.ts";
import { checkBackendUrl } from "../../src/stores/open.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "downlease-secrets-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function fileWith(content: string | Uint8Array): string {
  const path = join(directory, crypto.randomUUID());
  writeFileSync(path, content);
  return path;
}

function load(flags: ConfigSources["flags"], environment: ConfigSources["environment"] = {}) {
  return loadConfig({
    flags: { contentRoot: "library", ...flags },
    environment,
    checkRedisUrl: checkBackendUrl,
  });
}

function mistakesOf(
  flags: ConfigSources["flags"],
  environment: ConfigSources["environment"] = {},
): readonly string[] {
  try {
    load(flags, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

const url = "redis+sentinel://:s3cret@host/master";
const key = `k1=${Buffer.alloc(32, "x").toString("base64")}`;

describe("the file of a secret", () => {
  test("holds the value of every secret setting, by flag or by variable", () => {
    const values = { redisUrl: url, redisSentinelPassword: "s3cret", linkKeys: key };
    const secrets = fieldSettings.filter(({ secret }) => secret);
    expect(secrets.map(({ name }) => name)).toEqual(Object.keys(values));
    const files = secrets.map(({ name, file }) => ({
      file: file!,
      path: fileWith(`${values[name as "linkKeys"]}\n`),
    }));
    const byFlag = load(Object.fromEntries(files.map(({ file, path }) => [file.name, path])));
    const byVariable = load({}, Object.fromEntries(files.map(({ file, path }) => [file.variable, path])));
    for (const { redisUrl, redis, linkKeys } of [byFlag, byVariable]) {
      expect(redisUrl?.reveal()).toBe(url);
      expect(redis.sentinelPassword?.reveal()).toBe("s3cret");
      expect(linkKeys.map(({ id }) => id)).toEqual(["k1"]);
    }
  });

  test("is a setting of the commands that call a service as well", () => {
    const files = clientSettings.filter(({ name }) => name.endsWith("File"));
    expect(files.map(({ usage, variable }) => [usage, variable])).toEqual([
      ["--token-file <path>", "DOWNLEASE_TOKEN_FILE"],
      ["--password-file <path>", "DOWNLEASE_PASSWORD_FILE"],
    ]);
  });

  test.each(["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\n\n", "\ufeffs3cret"])("%j is s3cret", (content) => {
    const { redis } = load({ redisUrl: url, redisSentinelPasswordFile: fileWith(content) });
    expect(redis.sentinelPassword?.reveal()).toBe("s3cret");
  });

  test("may have blanks and line breaks inside of the value", () => {
    const { redis } = load({ redisUrl: url, redisSentinelPasswordFile: fileWith(" a\nb \n") });
    expect(redis.sentinelPassword?.reveal()).toBe(" a\nb ");
  });

  test("that can't be used is named by its setting, without its path and content", () => {
    const missing = join(directory, "s3cret");
    mkdirSync(join(directory, "s3cret-folder"));
    const cases: [path: string, mistake: string][] = [
      [missing, "names a file that can't be read (ENOENT)"],
      [join(directory, "s3cret-folder"), "names a file that can't be read (EISDIR)"],
      [fileWith(""), "names a file that is empty"],
      [fileWith("\n\n"), "names a file that is empty"],
      [fileWith("s3cret".repeat(20_000)), "names a file of more than 65536 bytes"],
      ["/dev/zero", "names a file of more than 65536 bytes"],
      [fileWith(Uint8Array.of(0x73, 0xff)), "names a file that is not UTF-8"],
    ];
    for (const [path, mistake] of cases) {
      expect(mistakesOf({ linkKeysFile: path })).toEqual([`--link-keys-file ${mistake}`]);
      // No rule between settings is reported that only fails because the value is missing.
      expect(mistakesOf({ redisWaitReplicas: "1" }, { DOWNLEASE_REDIS_URL_FILE: path })).toEqual([
        `DOWNLEASE_REDIS_URL_FILE ${mistake}`,
      ]);
    }
  });

  test("and the value exclude each other; a flag wins over both variables", () => {
    const path = fileWith(key);
    expect(mistakesOf({ linkKeys: key, linkKeysFile: path })).toEqual([
      "--link-keys-file must be left out with --link-keys",
    ]);
    const environment = { DOWNLEASE_LINK_KEYS: "none", DOWNLEASE_LINK_KEYS_FILE: path };
    expect(mistakesOf({}, environment)).toEqual([
      "DOWNLEASE_LINK_KEYS_FILE must be left out with DOWNLEASE_LINK_KEYS",
    ]);
    expect(load({ linkKeys: key }, environment).linkKeys).toHaveLength(1);
    expect(load({ linkKeysFile: path }, { DOWNLEASE_LINK_KEYS: "none" }).linkKeys).toHaveLength(1);
    expect(load({}, { DOWNLEASE_LINK_KEYS: "", DOWNLEASE_LINK_KEYS_FILE: path }).linkKeys).toHaveLength(1);
  });

  test("with a wrong value is named, the value not", () => {
    const [wrongUrl, wrongKeys] = [fileWith("redis://:s3cret@host:0"), fileWith("s3cret")];
    expect(mistakesOf({ redisUrlFile: wrongUrl, linkKeysFile: wrongKeys })).toEqual([
      "the text in --redis-url-file has a bad host; write host:port",
      expect.stringMatching(/^the text in --link-keys-file must be id=secret[^']*'\.', '_' and '-', [^']*$/),
    ]);
  });
});

describe("a message about a wrong setting", () => {
  const schemes = ["redis", "rediss", "redis+cluster", "redis+sentinel", "http", "REDIS"];
  const passwords = [
    "a#s3cret",
    "a?s3cret",
    "s3cret/a",
    "s3c@s3cret",
    "a@s3cret",
    "s3cret:1/2",
    "s3cret\n@",
    "[s3cret]",
    "%s3cret",
  ];
  const ends = ["@host:6379/0", "@h1,h2/master", "@host/s3cret/x", "@", "@host:0", ""];

  test("never has a piece of the password in a URL of Redis", () => {
    for (const scheme of schemes) {
      for (const password of passwords) {
        for (const end of ends) {
          // What follows the only @ is a host, which is no secret.
          if (password.includes("@") && end === "") continue;
          for (const user of ["", "user"]) {
            const redisUrl = `${scheme}://${user}:${password}${end}`;
            const mistakes = mistakesOf({ redisUrl });
            const shown = mistakes.length > 0 ? mistakes.join() : String(load({ redisUrl }).redisUrl);
            expect(shown).not.toContain("s3c");
          }
        }
      }
    }
  });

  test("never has the password in any other URL either", () => {
    for (const name of ["publicUrl", "jwtJwks", "host", "logLevel", "contentRoot"] as const) {
      const mistakes = mistakesOf({ s3Bucket: "bucket", [name]: "https://user:s3cret@host?s3c@x" });
      expect(mistakes.length).toBeGreaterThan(0);
      expect(mistakes.join()).not.toContain("s3c");
    }
  });
});
