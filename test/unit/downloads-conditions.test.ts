import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { entityTagOf, select } from "../../src/downloads/conditions.ts";
import { digestsField } from "../../src/downloads/headers.ts";

const etag = '"tag"';
const size = 1000;

describe("Range", () => {
  test.each([
    ["bytes=0-0", { status: 206, range: { start: 0, end: 0 } }],
    ["bytes=0-", { status: 206, range: { start: 0, end: 999 } }],
    ["bytes=999-", { status: 206, range: { start: 999, end: 999 } }],
    ["bytes=10-5000", { status: 206, range: { start: 10, end: 999 } }],
    ["bytes=-1", { status: 206, range: { start: 999, end: 999 } }],
    ["bytes=-5000", { status: 206, range: { start: 0, end: 999 } }],
    ["BYTES=5-6", { status: 206, range: { start: 5, end: 6 } }],
    ["bytes= 5-6 ,", { status: 206, range: { start: 5, end: 6 } }],
    ["bytes=1000-", { status: 416 }],
    ["bytes=-0", { status: 416 }],
    ["bytes=99999999999999999999-", { status: 416 }],
    ["bytes=0-1,5-6", { status: 200 }],
    ["bytes=0-0,-1", { status: 200 }],
    ["bytes=6-5", { status: 200 }],
    ["bytes=", { status: 200 }],
    ["bytes=-", { status: 200 }],
    ["bytes=a-b", { status: 200 }],
    ["bytes=1-2x", { status: 200 }],
    ["bytes=-1-2", { status: 200 }],
    ["bytes 0-1", { status: 200 }],
    ["lines=0-1", { status: 200 }],
    ["", { status: 200 }],
    ["\u0000", { status: 200 }],
    [`bytes=${"0-0,".repeat(5_000)}`, { status: 200 }],
  ])("%s", (range, expected) => {
    expect(select("GET", { range }, etag, size)).toEqual(expected);
  });

  test("selects the same bytes as a slice", () => {
    const whole = Buffer.from("0123456789");
    const number = fc.integer({ min: 0, max: 12 });
    const optional = fc.option(number, { nil: undefined });
    fc.assert(
      fc.property(optional, optional, (start, end) => {
        fc.pre(start !== undefined || end !== undefined);
        const range = `bytes=${start ?? ""}-${end ?? ""}`;
        const selection = select("GET", { range }, etag, whole.length);
        const isReversed = start !== undefined && end !== undefined && start > end;
        const expected =
          start === undefined
            ? whole.subarray(Math.max(0, whole.length - end!))
            : whole.subarray(start, end === undefined ? undefined : end + 1);
        if (isReversed) expect(selection).toEqual({ status: 200 });
        else if (expected.length === 0) expect(selection).toEqual({ status: 416 });
        else {
          const selected = (selection as { range: { start: number; end: number } }).range;
          expect(whole.subarray(selected.start, selected.end + 1)).toEqual(expected);
        }
      }),
    );
  });

  test("of an empty file is unsatisfiable, or the whole file when its last bytes are requested", () => {
    expect(select("GET", { range: "bytes=0-" }, etag, 0)).toEqual({ status: 416 });
    expect(select("GET", { range: "bytes=-5" }, etag, 0)).toEqual({ status: 200 });
  });

  test("is for GET", () => {
    expect(select("HEAD", { range: "bytes=0-1" }, etag, size)).toEqual({ status: 200 });
    expect(select("HEAD", { range: "bytes=5000-" }, etag, size)).toEqual({ status: 200 });
  });
});

describe("conditions", () => {
  const range = "bytes=0-1";
  const part = { status: 206, range: { start: 0, end: 1 } };
  test.each([
    [{ range, "if-range": etag }, part],
    [{ range, "if-range": '"other"' }, { status: 200 }],
    [{ range, "if-range": `W/${etag}` }, { status: 200 }],
    [{ range, "if-range": "Wed, 21 Oct 2099 07:28:00 GMT" }, { status: 200 }],
    [{ range, "if-range": "" }, { status: 200 }],
    [{ range, "if-range": "tag" }, { status: 200 }],
    [{ range: "bytes=5000-", "if-range": '"other"' }, { status: 200 }],
    [{ "if-range": '"other"' }, { status: 200 }],
    [{ "if-match": etag }, { status: 200 }],
    [{ "if-match": `"a", ${etag}` }, { status: 200 }],
    [{ "if-match": "*" }, { status: 200 }],
    [{ "if-match": etag, range }, part],
    [{ "if-match": '"other"' }, { status: 412 }],
    [{ "if-match": `W/${etag}` }, { status: 412 }],
    [{ "if-match": "tag" }, { status: 412 }],
    [{ "if-match": "" }, { status: 412 }],
    [{ "if-none-match": etag }, { status: 304 }],
    [{ "if-none-match": `W/${etag}` }, { status: 304 }],
    [{ "if-none-match": `"a",W/"b" , ${etag}` }, { status: 304 }],
    [{ "if-none-match": "*" }, { status: 304 }],
    [{ "if-none-match": etag, range }, { status: 304 }],
    [{ "if-none-match": '"other"' }, { status: 200 }],
    [{ "if-none-match": "tag" }, { status: 200 }],
    [{ "if-match": '"other"', "if-none-match": etag }, { status: 412 }],
    [{ "if-modified-since": "Wed, 21 Oct 2099 07:28:00 GMT" }, { status: 200 }],
    [{ "if-unmodified-since": "Wed, 21 Oct 1999 07:28:00 GMT" }, { status: 200 }],
  ])("%j", (headers, expected) => {
    expect(select("GET", headers, etag, size)).toEqual(expected);
  });
});

test("the entity tag is strong and depends on file, content version and file version", () => {
  const file = { version: "f1", size: 5 } as never;
  const link = { sessionId: "s", fileName: "a", contentVersion: "v1" };
  const tags = [
    entityTagOf(link, file),
    entityTagOf({ ...link, fileName: "b" }, file),
    entityTagOf({ ...link, contentVersion: "v2" }, file),
    entityTagOf(link, { version: "f2", size: 5 } as never),
    entityTagOf({ ...link, fileName: 'a","v1' }, file),
  ];
  expect(new Set(tags).size).toBe(tags.length);
  for (const tag of tags) expect(tag).toMatch(/^"[\w-]{27}"$/);
  // A download goes on in another session.
  expect(entityTagOf({ ...link, sessionId: "other" }, file)).toBe(tags[0]);
});

test("digests are written as RFC 9530 has them", () => {
  const hex = (algorithm: string) => createHash(algorithm).update('{"hello": "world"}').digest("hex");
  // The example of its section 2.
  expect(digestsField({ SHA256: hex("sha256") })).toBe(
    "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
  );
  const both = digestsField({
    SHA256: hex("sha256"),
    SHA512: hex("sha512"),
    SHA1: hex("sha1"),
    MD5: hex("md5"),
  });
  expect(both).toMatch(/^sha-256=:[\w+/]{43}=:, sha-512=:[\w+/]{86}==:$/);
});
