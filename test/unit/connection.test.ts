import { expect, test } from "vitest";
import { Connection } from "../../src/calls/connection.ts";
import { keptHeaders } from "../../src/calls/forwarded.ts";

test("streams that send the same credentials share one copy of them", () => {
  const connection = new Connection("192.0.2.1");
  const sent = () => ({ authorization: ["Bearer", "token"].join(" "), loginId: undefined });
  const kept = connection.keep(sent());
  expect(kept).toEqual({ ...sent(), loginCookie: undefined });
  expect(connection.keep(sent())).toBe(kept);
  const other = connection.keep({ authorization: undefined, loginId: "login" });
  expect(other).toEqual({ authorization: undefined, loginId: "login", loginCookie: undefined });
});

test("a connection is trusted from the first authenticated call on", () => {
  const connection = new Connection("192.0.2.1");
  let times = 0;
  connection.onTrusted = () => void times++;
  expect(connection.isTrusted).toBe(false);
  connection.trust();
  expect([connection.isTrusted, times]).toEqual([true, 1]);
});

test.each([
  [
    { forwarded: "for=a", "x-forwarded-for": "b, c", cookie: "d" },
    { forwarded: "for=a", "x-forwarded-for": "b, c" },
  ],
  [{ "x-forwarded-for": "b", authorization: "e" }, { "x-forwarded-for": "b" }],
  [{ "x-forwarded-for": "b".repeat(1001) }, {}],
  [{}, {}],
])("of %j, a stream keeps %j", (headers, kept) => {
  expect(keptHeaders(headers)).toEqual(kept);
});
