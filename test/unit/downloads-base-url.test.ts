import type { IncomingHttpHeaders } from "node:http";
import { describe, expect, test } from "vitest";
import { Connection } from "../../src/calls/connection.ts";
import { addressMatcher } from "../../src/config/addresses.ts";
import { baseUrlFinder } from "../../src/downloads/base-url.ts";

const fallback = "http://127.0.0.1:8080";
const proxy = "10.0.0.5";

function baseUrl(
  headers: IncomingHttpHeaders,
  { peer = "203.0.113.9", publicUrl, tls = false }: { peer?: string; publicUrl?: string; tls?: boolean } = {},
): string {
  const find = baseUrlFinder({
    publicUrl,
    isTrustedProxy: addressMatcher([proxy, "192.168.0.0/16", "fd00::/8"]),
    fallback: () => fallback,
  });
  const socket = { encrypted: tls } as never;
  return find({ headers, connection: new Connection(peer, socket) });
}

test("the public URL counts for any request", () => {
  const headers = { host: "evil.example", forwarded: "host=evil.example;proto=http" };
  expect(baseUrl(headers, { publicUrl: "https://dl.example/vi", peer: proxy })).toBe("https://dl.example/vi");
});

describe("without proxies", () => {
  test.each([
    [{ host: "example.org" }, "http://example.org"],
    [{ host: "Example.ORG:8080" }, "http://example.org:8080"],
    [{ host: "192.0.2.7:80" }, "http://192.0.2.7"],
    [{ host: "[2001:DB8::1]:8443" }, "http://[2001:db8::1]:8443"],
    [{ host: "my_host" }, "http://my_host"],
    [{ ":authority": "h2.example:444", host: "evil.example" }, "http://h2.example:444"],
  ])("%j is %s", (headers, expected) => {
    expect(baseUrl(headers)).toBe(expected);
  });

  test("the scheme is that of the connection", () => {
    expect(baseUrl({ host: "example.org:443" }, { tls: true })).toBe("https://example.org");
  });

  test.each([
    undefined,
    "",
    " ",
    "a b",
    "user@host",
    "host/path",
    "host?x",
    "host#x",
    "host\\x",
    "host:port",
    "host:",
    "host:123456",
    "host:99999",
    ":80",
    "a,b",
    "<script>",
    'a"b',
    "a'b",
    "a\r\nb",
    "a%0d%0ab",
    "[::1",
    "::1",
    "[::1]x",
    "[zz]",
    "1.2.3.4.5",
    "é.example",
    "a".repeat(5_000),
    "host:80:80",
    "-",
    "..",
    "a..b",
  ])("a host %j never gets into a link as it is", (host) => {
    const url = baseUrl(host === undefined ? {} : { host });
    const parsed = URL.parse(url);
    expect(parsed?.origin).toBe(url);
    expect(url).toMatch(/^http:\/\/[a-z0-9._:[\]-]+$/);
    if (!/^[a-z.-]+$/.test(host ?? "")) expect(url).toBe(fallback);
  });
});

describe("an address that is not a trusted proxy", () => {
  test.each([
    [{ host: "real.example", forwarded: "host=evil.example;proto=https" }],
    [{ host: "real.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https" }],
  ])("is not believed: %j", (headers) => {
    expect(baseUrl(headers)).toBe("http://real.example");
  });
});

describe("a trusted proxy sends", () => {
  test.each([
    [{ forwarded: "proto=https;host=dl.example" }, "https://dl.example"],
    [{ forwarded: 'for=192.0.2.1;proto=https;host="dl.example:8443"' }, "https://dl.example:8443"],
    [{ forwarded: "proto=https" }, "https://inner.example"],
    [{ "x-forwarded-proto": "https", "x-forwarded-host": "dl.example" }, "https://dl.example"],
    [
      { "x-forwarded-proto": "https", "x-forwarded-host": "dl.example", "x-forwarded-port": "8443" },
      "https://dl.example:8443",
    ],
    [{ "x-forwarded-host": "dl.example:81", "x-forwarded-port": "82" }, "http://dl.example:81"],
    [{ "x-forwarded-proto": "HTTPS" }, "https://inner.example"],
    [{ "x-forwarded-port": "8443" }, "http://inner.example"],
    [
      {
        forwarded: "proto=https;host=a.example",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "a.example",
      },
      "https://a.example",
    ],
  ] as [IncomingHttpHeaders, string][])("%j: %s", (headers, expected) => {
    expect(baseUrl({ host: "inner.example", ...headers }, { peer: proxy })).toBe(expected);
  });

  test.each(["192.168.7.7", "::ffff:10.0.0.5", "fd12::1"])("from %s", (peer) => {
    expect(baseUrl({ host: "inner", forwarded: "proto=https;host=dl.example" }, { peer })).toBe(
      "https://dl.example",
    );
  });
});

describe("headers of a client that a trusted proxy passes on", () => {
  test.each([
    [
      "an element before the proxy's own",
      { forwarded: "host=evil.example;proto=http, for=203.0.113.9;host=dl.example;proto=https" },
      "https://dl.example",
    ],
    [
      "an element that names a proxy",
      { forwarded: "for=10.0.0.5;host=evil.example, for=203.0.113.9;host=dl.example;proto=https" },
      "https://dl.example",
    ],
    [
      "a list in X-Forwarded-Host",
      { "x-forwarded-host": "evil.example, dl.example", "x-forwarded-proto": "http, https" },
      "https://dl.example",
    ],
    [
      "a Forwarded beside the proxy's X-Forwarded-…",
      { forwarded: "host=evil.example;proto=http", "x-forwarded-proto": "https" },
      "http://inner.example",
    ],
    ["a Forwarded that can't be read", { forwarded: 'host="evil' }, "http://inner.example"],
    ["a host that is not valid", { forwarded: 'proto=https;host="evil.example/x?"' }, fallback],
    ["a scheme that is not valid", { forwarded: "proto=javascript;host=dl.example" }, "http://dl.example"],
  ] as [string, IncomingHttpHeaders, string][])("%s", (_, headers, expected) => {
    expect(baseUrl({ host: "inner.example", ...headers }, { peer: proxy })).toBe(expected);
  });

  test("of a chain of trusted proxies the outermost one counts", () => {
    const forwarded =
      "host=evil.example, for=203.0.113.9;host=dl.example;proto=https, for=192.168.1.1;host=inner;proto=http";
    expect(baseUrl({ host: "inner", forwarded }, { peer: proxy })).toBe("https://dl.example");
  });
});
