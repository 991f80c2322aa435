import { describe, expect, test } from "vitest";
import { connect, type ServerOptions } from "../../src/client/index.ts";

const url = "http://127.0.0.1:8080";

describe("the options of a server", () => {
  test.each<[string, ServerOptions]>([
    ["no URL", { url: "localhost" }],
    ["another protocol", { url: "ftp://host" }],
    ["a host that looks like a protocol", { url: "localhost:8080" }],
    ["a user in the URL", { url: "http://alice:secret@host" }],
    ["a query", { url: "http://host/?a=1" }],
    ["a user without a password", { url, user: "alice" }],
    ["a password without a user", { url, password: "secret" }],
    ["a token and a user", { url, token: "t", user: "alice", password: "secret" }],
    ["a certificate without a key", { url, cert: "PEM" }],
  ])("are refused with %s", (_, options) => {
    expect(() => connect(options)).toThrow(TypeError);
  });

  test("do not show a password from the URL in the error", () => {
    expect(() => connect({ url: "http://alice:secret@host" })).toThrow(/^(?!.*secret)/);
  });

  test.each([
    ["http://host", "http://host"],
    ["http://host/", "http://host"],
    ["https://host/some/path//", "https://host/some/path"],
  ])("turn %s into the base %s", (text, base) => {
    expect(connect({ url: text }).url).toBe(base);
  });
});
