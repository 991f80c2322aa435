import type { IncomingHttpHeaders } from "node:http";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HeaderCredentials, loginHeader, loginIdOf as loginIdOfCall } from "../../src/calls/credentials.ts";

const loginIdOf = (headers: IncomingHttpHeaders) => loginIdOfCall(new HeaderCredentials(headers), headers);
const cookie = `${loginHeader}=from-cookie`;

describe("the id of a login", () => {
  test("comes from the header or from the cookie, and the header counts", () => {
    expect(loginIdOf({})).toBeUndefined();
    expect(loginIdOf({ [loginHeader]: "from-header" })).toBe("from-header");
    expect(loginIdOf({ cookie })).toBe("from-cookie");
    expect(loginIdOf({ [loginHeader]: "from-header", cookie })).toBe("from-header");
  });

  test.each([
    ["among others", `a=b; ${cookie}; c=d`, "from-cookie"],
    ["given twice: the first counts", `${cookie}; ${loginHeader}=second`, "from-cookie"],

    ["in quotes", `${loginHeader}="quoted"`, "quoted"],
    ["in single quotes", `${loginHeader}='quoted'; a=b`, "quoted"],
    ["with quotes within it", `${loginHeader}=a'b"c`, `a'b"c`],
    ["with a quote that is not closed", `${loginHeader}="quoted'`, `"quoted'`],
    ["that is a quote", `${loginHeader}='`, "'"],
    ["percent-encoded", `${loginHeader}=a%20b`, "a b"],
    ["with a broken percent-encoding", `${loginHeader}=%zz%`, "%zz%"],
    ["with a percent-encoding that is no UTF-8", `${loginHeader}=%ff`, "%ff"],
    ["without a value", `${loginHeader}=`, ""],
    ["without even an equals sign", loginHeader, undefined],
    ["of another case", cookie.toUpperCase(), undefined],
    ["with a longer name", `x${cookie}`, undefined],
    ["next to the names of every object", `__proto__=a; constructor=b; toString=c; ${cookie}`, "from-cookie"],
    ["only as the names of every object", "__proto__=a; constructor=b", undefined],
    ["with characters beyond ASCII", `ä=\u00ff; ${cookie}`, "from-cookie"],
    ["after ten thousand others", `${"a=b; ".repeat(10_000)}${cookie}`, "from-cookie"],
    ["after a megabyte", `a=${"b".repeat(1_000_000)}; ${cookie}`, "from-cookie"],
    ["after a megabyte of separators", `${"; =".repeat(333_333)}; ${cookie}`, "from-cookie"],
    ["after a megabyte of quotes and blanks", `${'" '.repeat(500_000)}; ${cookie}`, "from-cookie"],
  ])("in a cookie %s", (_, header, expected) => {
    expect(loginIdOf({ cookie: header })).toBe(expected);
  });
});

describe("the cookie, which a browser sends for any page,", () => {
  test.each<[string, IncomingHttpHeaders]>([
    ["no browser", {}],
    ["a page of ours", { "sec-fetch-site": "same-origin" }],
    ["the user, who typed the address", { "sec-fetch-site": "none" }],
    ["a page of ours, by Origin", { host: "dl.example", origin: "https://dl.example" }],
    ["a page of ours on a port", { host: "dl.example:8443", origin: "https://dl.example:8443" }],
    [
      "a page of ours on the default port, written out",
      { host: "dl.example:443", origin: "https://dl.example" },
    ],
    ["a page of ours on HTTP/2", { ":authority": "dl.example", origin: "http://dl.example" }],
    ["a page of ours, in another spelling", { host: "DL.example", origin: "https://dl.example" }],
    ["a page of ours at an address", { host: "[::1]:8080", origin: "http://[::1]:8080" }],
    [
      "a page of ours behind a proxy with a Host of its own",
      { host: "backend:8080", origin: "https://dl.example", "sec-fetch-site": "same-origin" },
    ],
  ])("counts when it comes from %s", (_, headers) => {
    expect(loginIdOf({ ...headers, cookie })).toBe("from-cookie");
  });

  test.each<[string, IncomingHttpHeaders]>([
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["another origin of the same site", { "sec-fetch-site": "same-site" }],
    ["a relation that is not known yet", { "sec-fetch-site": "same-origin, cross-site" }],
    ["another site, with an empty header", { "sec-fetch-site": "" }],
    ["another host", { host: "dl.example", origin: "https://evil.example" }],
    ["a subdomain", { host: "dl.example", origin: "https://a.dl.example" }],
    ["a host that begins the same", { host: "dl.example", origin: "https://dl.example.evil.example" }],
    ["another port", { host: "dl.example:8443", origin: "https://dl.example" }],
    ["a sandbox or a file", { host: "dl.example", origin: "null" }],
    ["an origin that is not valid", { host: "dl.example", origin: "dl.example" }],
    ["an origin without a host", { origin: "file://" }],
    ["an origin while there is no Host", { origin: "https://dl.example" }],
    ["two origins", { host: "dl.example", origin: "https://dl.example, https://evil.example" }],
    ["an origin while the Host is not valid", { host: "[", origin: "https://dl.example" }],
    ["a Host with a path to another", { host: "dl.example/@evil.example", origin: "https://evil.example" }],
    ["an empty origin", { host: "dl.example", origin: "" }],
  ])("does not count when it comes from %s", (_, headers) => {
    expect(loginIdOf({ ...headers, cookie })).toBeUndefined();
    // A page can't make a browser send the header without a preflight.
    expect(loginIdOf({ ...headers, cookie, [loginHeader]: "from-header" })).toBe("from-header");
  });
});

describe("with any headers", () => {
  const wild = fc.oneof(
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.stringMatching(/^[-a-z%"=;,: \\/[\]@.]{0,100}$/),
    fc
      .array(fc.constantFrom(loginHeader, "=", ";", '"', "%", "%C3", "__proto__", ",", " ", "\u0000", "é"))
      .map((parts) => parts.join("")),
  );
  const maybe = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined });

  test("reading credentials never throws, and gives a text or nothing", () => {
    const headers = fc.record({
      cookie: maybe(wild),
      authorization: maybe(wild),
      [loginHeader]: maybe(fc.oneof(wild, fc.array(wild, { maxLength: 3 }))),
      "sec-fetch-site": maybe(fc.oneof(wild, fc.constantFrom("same-origin", "none"))),
      origin: maybe(fc.oneof(wild, fc.webUrl())),
      host: maybe(wild),
      ":authority": maybe(wild),
    });
    fc.assert(
      fc.property(headers, (random) => {
        expect(new HeaderCredentials(random as IncomingHttpHeaders).authorization).toBe(random.authorization);
        const loginId = loginIdOf(random as IncomingHttpHeaders);
        expect(["string", "undefined"]).toContain(typeof loginId);
        if (random[loginHeader] === undefined && random.cookie === undefined) expect(loginId).toBeUndefined();
      }),
      { numRuns: 5000 },
    );
  });

  test("a valid cookie is read among malformed ones", () => {
    const id = fc.stringMatching(/^[\w-]{1,64}$/);
    const others = fc.array(wild.map((text) => text.replaceAll(";", "").replaceAll(loginHeader, "")));
    fc.assert(
      fc.property(id, others, others, (loginId, before, after) => {
        const header = [...before, `${loginHeader}=${loginId}`, ...after].join(";");
        expect(loginIdOf({ cookie: header })).toBe(loginId);
      }),
    );
  });
});
