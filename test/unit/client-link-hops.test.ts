import type { LookupAddress } from "node:dns";
import { describe, expect, test } from "vitest";
import { LinkHops, OwnAddressError } from "../../src/client/link-hops.ts";

const server = "https://dl.example";

/** Where a chain of redirects from a link ends, or why it is refused. */
function follow(link: string, ...locations: readonly (string | undefined)[]) {
  const hops = new LinkHops(server.replace(/^https/, link.startsWith("http:") ? "http" : "https"));
  let hop = hops.first(link);
  for (const location of locations) if (typeof hop !== "string") hop = hops.next(hop, location);
  return typeof hop === "string" ? hop : { url: hop.url.href, isStorage: hop.isStorage };
}

describe("a redirect", () => {
  const link = "https://dl.example/f";

  test.each([
    [["/g"], "https://dl.example/g", false],
    [["https://s3.example/b/f?X-Amz-Signature=a"], "https://s3.example/b/f?X-Amz-Signature=a", true],
    [["/g", "https://s3.example/f", "/g"], "https://s3.example/g", true],
    [["https://dl.example:8443/f"], "https://dl.example:8443/f", true],
  ])("%j is followed", (locations, url, isStorage) => {
    expect(follow(link, ...locations)).toEqual({ url, isStorage });
  });

  test.each([
    [[undefined], "the link redirects to nowhere"],
    [["https://"], "the link redirects to nowhere"],
    [["ftp://s3.example/f"], "the link redirects to a URL that is not an HTTP URL"],
    [["https://a:b@s3.example/f"], "the link redirects to a URL that has a user or a password"],
    [["http://s3.example/f"], "the link redirects from TLS to clear text"],
    [["http://dl.example/f"], "the link redirects from TLS to clear text"],
    [
      ["https://s3.example/f", "https://third.example/f"],
      "the link redirects to a host that redirects to a third one",
    ],
    [
      ["https://s3.example/f", "https://dl.example/f"],
      "the link redirects to a host that redirects to a third one",
    ],
  ])("%j is refused", (locations, problem) => {
    expect(follow(link, ...locations)).toBe(problem);
  });

  test("from clear text may lead to TLS, and not back", () => {
    const secure = "https://dl.example/f";
    expect(follow("http://dl.example/f", secure)).toEqual({ url: secure, isStorage: false });
    expect(follow("http://dl.example/f", "http://s3.example/f")).toMatchObject({ isStorage: true });
    expect(follow("http://dl.example/f", secure, "http://s3.example/")).toMatch(/clear text/);
  });
});

test.each([
  ["no URL", "the link is not an HTTP URL"],
  ["file:///etc/passwd", "the link is not an HTTP URL"],
  ["https://a@dl.example/", "the link has a user or a password"],
])("the link %s is refused", (link, problem) => {
  expect(follow(link)).toBe(problem);
});

test("a link in clear text is refused when the server was called over TLS", () => {
  expect(new LinkHops(server).first("http://dl.example/")).toBe(
    "the link does not use TLS, but the server's URL does",
  );
});

describe("an address of this machine", () => {
  const own = [
    ...["127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "100.100.100.200", "2130706433", "0x7f.1"],
    ...["[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]"],
  ];
  const check = (at: string, host: string) => new LinkHops(at).checkAddress(new URL(`http://${host}/`));

  test.each(own)("%s is refused unless the server is there", async (host) => {
    await expect(check("http://192.0.2.1", host)).rejects.toThrow(OwnAddressError);
    await check("http://localhost:8080", host);
    await check("http://[::1]:8080", host);
  });

  test.each(["10.0.0.5", "192.168.1.1", "172.16.0.1", "203.0.113.9", "[2001:db8::1]", "[fd12::1]"])(
    "%s is none",
    (host) => check("http://192.0.2.1", host),
  );

  const resolve = (at: string, host: string, name = host) =>
    new Promise<string | LookupAddress[]>((resolve, reject) => {
      const lookup = new LinkHops(at).lookupOf(new URL(`http://${host}/`))!;
      lookup(name, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)));
    });

  test("is refused behind a name as well, except behind that of a proxy", async () => {
    await expect(resolve("http://192.0.2.1", "localhost")).rejects.toThrow(
      "the link leads to localhost, an address of this machine, but the server is elsewhere",
    );
    expect(await resolve("http://127.0.0.1", "localhost")).not.toEqual([]);
    expect(await resolve("http://192.0.2.1", "s3.example", "localhost")).not.toEqual([]);
    expect(new LinkHops("http://localhost").lookupOf(new URL("http://localhost:1/"))).toBeUndefined();
  });
});
