import type { IncomingHttpHeaders } from "node:http";
import { describe, expect, test } from "vitest";
import { clientAddressFinder, networkOf } from "../../src/calls/client-address.ts";
import { Connection } from "../../src/calls/connection.ts";
import { addressMatcher } from "../../src/config/addresses.ts";

const proxy = "10.0.0.5";
const find = clientAddressFinder(addressMatcher([proxy, "192.168.0.0/16", "fd00::/8"]));
const addressFrom = (headers: IncomingHttpHeaders, peer = proxy) =>
  find({ headers, connection: new Connection(peer) });

describe("the address of a client", () => {
  test.each([
    ["203.0.113.9", "203.0.113.9"],
    ["::ffff:203.0.113.9", "203.0.113.9"],
    ["2001:db8::7", "2001:db8::7"],
    ["", ""],
  ])("that connects from '%s' by itself is %s, whatever it sends", (peer, address) => {
    expect(addressFrom({ "x-forwarded-for": "198.51.100.1" }, peer)).toBe(address);
    expect(addressFrom({ forwarded: "for=198.51.100.1" }, peer)).toBe(address);
  });

  test.each<[string, IncomingHttpHeaders, string]>([
    ["X-Forwarded-For", { "x-forwarded-for": "203.0.113.9" }, "203.0.113.9"],
    ["Forwarded", { forwarded: "for=203.0.113.9;proto=https" }, "203.0.113.9"],
    ["both", { forwarded: "for=203.0.113.9", "x-forwarded-for": "203.0.113.9" }, "203.0.113.9"],
    ["an IPv6 address", { "x-forwarded-for": "2001:DB8:0::7" }, "2001:db8::7"],
    ["an IPv6 address with a port", { forwarded: 'for="[2001:db8::7]:4711"' }, "2001:db8::7"],
    ["an IPv4 address with a port", { "x-forwarded-for": "203.0.113.9:4711" }, "203.0.113.9"],
    ["an IPv4 address with a hidden port", { forwarded: 'for="203.0.113.9:_p"' }, "203.0.113.9"],
    ["an IPv4 address as IPv6", { "x-forwarded-for": "::ffff:203.0.113.9" }, "203.0.113.9"],
    ["the same in other words", { forwarded: 'for="[::ffff:cb00:7109]"' }, "203.0.113.9"],
    [
      "a Forwarded without `for`",
      { forwarded: "proto=https", "x-forwarded-for": "203.0.113.9" },
      "203.0.113.9",
    ],
  ])("behind a proxy is that in %s", (_, headers, address) => {
    expect(addressFrom(headers)).toBe(address);
  });

  test.each<[string, IncomingHttpHeaders, string]>([
    ["the last of those that a client wrote", { "x-forwarded-for": "6.6.6.6, 203.0.113.9" }, "203.0.113.9"],
    ["the same in Forwarded", { forwarded: "for=6.6.6.6, for=203.0.113.9" }, "203.0.113.9"],
    [
      "that before all trusted proxies",
      { "x-forwarded-for": "6.6.6.6, 203.0.113.9, 192.168.1.1, fd12::1" },
      "203.0.113.9",
    ],
    [
      "the same in Forwarded",
      { forwarded: 'for=6.6.6.6, for=203.0.113.9, for=192.168.1.1, for="[fd12::1]:80"' },
      "203.0.113.9",
    ],
    ["the first where all are trusted", { "x-forwarded-for": "192.168.1.2, 192.168.1.1" }, "192.168.1.2"],
  ])("of a list, %s counts", (_, headers, address) => {
    expect(addressFrom(headers)).toBe(address);
  });

  test.each<[string, IncomingHttpHeaders]>([
    ["no header", {}],
    ["an empty header", { "x-forwarded-for": " ", forwarded: "" }],
    ["a Forwarded that can't be read", { forwarded: "for=::1" }],
    ["contradicting headers", { forwarded: "for=6.6.6.6", "x-forwarded-for": "203.0.113.9" }],
    ["a hidden address", { forwarded: "for=6.6.6.6, for=_secret" }],
    ["an unknown address", { "x-forwarded-for": "6.6.6.6, unknown" }],
    ["a hidden address beside one", { forwarded: "for=unknown", "x-forwarded-for": "6.6.6.6" }],
    ["no address", { "x-forwarded-for": "<script>" }],
    ["a number more than an address has", { "x-forwarded-for": "6.6.6.6.6" }],
    ["an end without entry", { "x-forwarded-for": "6.6.6.6," }],
    ["a number", { "x-forwarded-for": "2130706433" }],
  ])("behind a proxy with %s is the proxy's", (_, headers) => {
    expect(addressFrom(headers)).toBe(proxy);
  });

  test("that an inner proxy hides is the inner proxy's", () => {
    expect(addressFrom({ "x-forwarded-for": "6.6.6.6, unknown, 192.168.1.1" })).toBe("192.168.1.1");
  });

  test("has no zone, which may be any text", () => {
    expect(addressFrom({ "x-forwarded-for": `fe80::1%${"x".repeat(1000)}` })).toBe("fe80::1");
  });
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8:1:2::1", "2001:db8:1:2"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
  ["::1", "0:0:0:0"],
  ["::", "0:0:0:0"],
  ["", ""],
])("%s is of the network %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
