import { expect, test } from "vitest";
import { cursorIn, pageToken } from "../../src/domain/page-token.ts";

const refused = expect.objectContaining({ messageId: "downlease.page.token" });

test("a token has its cursor, for an equal request only", () => {
  const cursor = '17 "ä" \u2028 x';
  const token = pageToken({ owner: "a", states: ["ACTIVE"] }, cursor);
  expect(token).toMatch(/^[\w-]+$/);
  expect(cursorIn(token, { owner: "a", states: ["ACTIVE"] })).toBe(cursor);
  for (const other of [{ owner: "b", states: ["ACTIVE"] }, { owner: "a" }, {}, []]) {
    expect(() => cursorIn(token, other)).toThrow(refused);
  }
});

test("anything else is refused", () => {
  const token = pageToken({}, "5");
  const parts = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const [, digest] = JSON.parse(Buffer.from(token, "base64url").toString());
  expect(cursorIn(parts([1, digest, "6"]), {})).toBe("6");
  const others = [
    "",
    "%",
    "x",
    token.slice(1),
    token.slice(0, -3),
    parts(null),
    parts({}),
    parts([]),
    parts("1"),
  ];
  others.push(
    parts([2, digest, "5"]),
    parts([1, digest, 5]),
    parts([1, digest]),
    parts([1, digest, "5".repeat(3_000)]),
  );
  for (const other of others) expect(() => cursorIn(other, {}), other).toThrow(refused);
});
