import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { ConfigError, loadConfig } from "../../src/config/load.ts";
import type { SettingName } from "../../src/config/settings.ts";

type Flags = Partial<Record<SettingName, string>>;

function load(flags: Flags) {
  return loadConfig({ flags: { contentRoot: "library", ...flags }, environment: {} });
}

function mistakes(flags: Flags): readonly string[] {
  try {
    load(flags);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

const [first, second] = [randomBytes(32), randomBytes(64)];

describe("--link-keys", () => {
  const linkKeys = `2026-1=${first.toString("base64")}, old_2.x=${second.toString("base64url")}`;

  test("are ids and secrets in base64 or base64url, in their order", () => {
    const keys = load({ linkKeys }).linkKeys.map(({ id, secret }) => [id, Buffer.from(secret.reveal())]);
    expect(keys).toEqual([
      ["2026-1", first],
      ["old_2.x", second],
    ]);
  });

  test("are hidden in any form of printing", () => {
    const config = load({ linkKeys });
    for (const text of [
      inspect(config, { depth: 9 }),
      JSON.stringify(config),
      `${config.linkKeys[0]?.secret}`,
    ]) {
      expect(text).toContain("***");
      expect(text).not.toContain(first.toString("base64").slice(0, 8));
      expect(text).not.toContain(inspect(first).slice(8, 20));
    }
  });

  const secret = first.toString("base64");
  test.each([
    secret,
    `=${secret}`,
    `a b=${secret}`,
    `a:b=${secret}`,
    `${"a".repeat(65)}=${secret}`,
    `a=${randomBytes(31).toString("base64")}`,
    "a=",
    `a=${secret}!`,
    `a=${secret},`,
    `a=${secret},a=${secret}`,
    `a=${secret};b=${secret}`,
  ])("are refused without being repeated: %s", (wrong) => {
    const [mistake, ...more] = mistakes({ linkKeys: wrong });
    expect(mistake).toMatch(/^--link-keys must be id=secret/);
    expect(mistake).not.toContain(secret.slice(0, 8));
    expect(more).toEqual([]);
  });
});

describe("--public-url", () => {
  test.each([
    ["https://dl.example", "https://dl.example"],
    ["https://DL.example:443/", "https://dl.example"],
    ["http://[::1]:8080/vi/", "http://[::1]:8080/vi"],
    ["https://example.org/a b", "https://example.org/a%20b"],
  ])("%s is %s", (publicUrl, expected) => {
    expect(load({ publicUrl }).publicUrl).toBe(expected);
  });

  test.each([
    "dl.example",
    "ftp://dl.example",
    "https://",
    "https://user:pw@dl.example",
    "https://dl.example/?x",
    "https://dl.example/#x",
    "javascript:alert(1)",
  ])("%s is none", (publicUrl) => {
    expect(mistakes({ publicUrl })).toEqual([
      expect.stringMatching(/^--public-url must be an http or https/),
    ]);
  });
});

describe("--trusted-proxies", () => {
  test("are addresses and networks", () => {
    const trustedProxies = "10.0.0.5, 192.168.0.0/16,fd00::/8,::1";
    expect(load({ trustedProxies }).trustedProxies).toEqual([
      "10.0.0.5",
      "192.168.0.0/16",
      "fd00::/8",
      "::1",
    ]);
  });

  test.each(["proxy", "10.0.0.5/33", "::1/129", "10.0.0.0/8/8", "10.0.0.0/", "10.0.0.0/x", "10.0.0.5,", "*"])(
    "%s is none",
    (trustedProxies) => {
      expect(mistakes({ trustedProxies })).toEqual([
        expect.stringMatching(/^--trusted-proxies must be addresses and networks/),
      ]);
    },
  );
});

describe("--offload", () => {
  test("names the location that nginx has over the content", () => {
    expect(load({ offload: "x-accel-redirect" }).offload).toEqual({ to: "nginx", prefix: "/_content/" });
    const offloadPrefix = "/a/b/";
    expect(load({ offload: "x-accel-redirect", offloadPrefix }).offload).toEqual({
      to: "nginx",
      prefix: "/a/b/",
    });
    expect(load({ offload: "none", offloadPrefix }).offload).toBeUndefined();
  });

  test("redirects to object storage, and to nothing else", () => {
    const { offload } = loadConfig({ flags: { s3Bucket: "images", offload: "redirect" }, environment: {} });
    expect(offload).toEqual({ to: "storage" });
    expect(mistakes({ offload: "redirect" })).toEqual([
      "--offload must be none or x-accel-redirect without --s3-bucket: only object storage has URLs of its own, not 'redirect'",
    ]);
  });

  test.each(["", "/", "_content/", "/_content", "//", "/a b/", "/a\r\nb/", "/%2f/"])(
    "%j is no location",
    (offloadPrefix) => {
      expect(mistakes({ offloadPrefix })).toEqual([
        expect.stringMatching(/^--offload-prefix must be a path/),
      ]);
    },
  );
});
