import { describe, expect, test } from "vitest";
import { readConfig } from "../../src/app/config.ts";
import { openAdminHosts, openHosts } from "../../src/app/hosts.ts";
import { hostCheck } from "../../src/calls/known-hosts.ts";

const isKnown = (host: string | undefined, ...names: string[]) =>
  hostCheck(names)(host === undefined ? {} : { host });

describe("without names", () => {
  test.each([
    ...["localhost", "localhost:8080", "LocalHost", "localhost.", "app.localhost:1"],
    ...["127.0.0.1", "127.0.0.1:8080", "192.0.2.7:80", "[::1]", "[::1]:8080", "[fd00::1]:443"],
    ...["", undefined],
  ])("'%s' is known", (host) => expect(isKnown(host)).toBe(true));

  test.each([
    ...["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"],
    ...["evillocalhost", "user@127.0.0.1", "127.0.0.1:8080:1", "[::1", "[evil.example]", "127.0.0.1/x", "1"],
    ...[":8080", "127.0.0.1, evil.example", "evil.example#localhost", "*", "[127.0.0.1]x"],
  ])("'%s' is not known", (host) => expect(isKnown(host)).toBe(false));
});

test.each([
  ["dl.example", "dl.example", true],
  ["dl.example", "DL.Example.:8443", true],
  ["DL.example.", "dl.example", true],
  ["dl.example", "a.dl.example", false],
  ["*.dl.example", "a.b.dl.example", true],
  ["*.dl.example", "dl.example", false],
  ["*.dl.example", "evildl.example", false],
  ["*", "evil.example", true],
  ["*", "no host at all", true],
])("with %s, %s: %s", (name, host, expected) => expect(isKnown(host, name)).toBe(expected));

test(":authority counts, not what Host says besides", () => {
  const check = hostCheck([]);
  expect(check({ ":authority": "localhost", host: "evil.example" })).toBe(true);
  expect(check({ ":authority": "evil.example", host: "localhost" })).toBe(false);
});

test("a known host does not make the next one known", () => {
  const check = hostCheck([]);
  const hosts = ["localhost", "evil.example", "localhost", "evil.example", "evil.example"];
  expect(hosts.map((host) => check({ host }))).toEqual([true, false, true, false, false]);
});

describe("names of the configuration", () => {
  const config = (flags: Parameters<typeof readConfig>[0]) => readConfig({ contentRoot: "x", ...flags }, {});
  const named = { host: "box.example", publicUrl: "https://dl.example/vi", insecureNoAuth: "on" };

  test("are --host, that of --public-url and --allowed-hosts", () => {
    const check = openHosts(config({ ...named, allowedHosts: "a.example, *.b.example" }))!;
    const hosts = ["box.example:8080", "dl.example", "a.example", "c.b.example", "b.example", "vi"];
    expect(hosts.map((host) => check({ host }))).toEqual([true, true, true, true, false, false]);
  });

  test("do not matter while callers have to log in", () => {
    expect(openHosts(config({ usersFile: "users" }))).toBeUndefined();
  });

  test("hold on the admin address in any case, where its own host counts instead of --host", () => {
    const check = openAdminHosts(config({ ...named, usersFile: "users" }), "metrics.example");
    const hosts = ["metrics.example:9480", "dl.example", "box.example", "evil.example"];
    expect(hosts.map((host) => check({ host }))).toEqual([true, true, false, false]);
  });
});
