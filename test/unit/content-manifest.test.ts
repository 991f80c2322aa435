import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BrokenManifest, isManifest, parseManifest } from "../../src/content/manifest.ts";

const sha1 = "a".repeat(40);
const sha256 = "0123456789abcdef".repeat(4);
const parse = (text: string) => Object.fromEntries(parseManifest(Buffer.from(text)));

describe("a manifest", () => {
  test("holds checksums by file, with any spacing", () => {
    const text = `SHA256(a.ovf)= ${sha256}\r\nSHA1 (disk (1).vmdk) = ${sha1.toUpperCase()}\n\nsha256(disk (1).vmdk)=${sha256}\n`;
    expect(parse(text)).toEqual({
      "a.ovf": { SHA256: sha256 },
      "disk (1).vmdk": { SHA1: sha1, SHA256: sha256 },
    });
  });

  test("may name files with line ends of Unicode", () => {
    expect(parse(`SHA1(a\u2028b\u2029c)= ${sha1}\n`)).toEqual({ "a\u2028b\u2029c": { SHA1: sha1 } });
  });

  test("may be empty, and may repeat itself", () => {
    expect(parse("")).toEqual({});
    expect(parse(`SHA1(f)= ${sha1}\nSHA1(f)= ${sha1}\n`)).toEqual({ f: { SHA1: sha1 } });
  });

  test("may name files as objects name their members", () => {
    const checksums = parseManifest(Buffer.from(`SHA1(__proto__)= ${sha1}\n`));
    expect([...checksums]).toEqual([["__proto__", { SHA1: sha1 }]]);
  });

  test.each([
    ["no checksum", "SHA1(f)=\n"],
    ["one that is too short", `SHA256(f)= ${sha1}\n`],
    ["one that is not hexadecimal", `SHA1(f)= ${"g".repeat(40)}\n`],
    ["an unknown algorithm", `CRC32(f)= ${sha1}\n`],
    ["an algorithm that is a member of every object", `constructor(f)= ${sha1}\n`],
    ["no name", `SHA1()= ${sha1}\n`],
    ["something else", "hello\n"],
    ["two that differ", `SHA1(f)= ${sha1}\nSHA1(f)= ${"b".repeat(40)}\n`],
    ["what is not UTF-8", Buffer.from([0xff, 0xfe])],
  ])("with %s is broken", (_, text) => {
    expect(() => parseManifest(Buffer.from(text))).toThrow(BrokenManifest);
  });

  test("a line separator of Unicode in a name is part of the name", () => {
    const name = "a\u2028\u2029b";
    expect([...parseManifest(Buffer.from(`SHA1(${name})= ${sha1}\n`))]).toEqual([[name, { SHA1: sha1 }]]);
  });

  test("is parsed as it was written", () => {
    const name = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !/[\r\n]/.test(text));
    const checksum = fc.string({
      unit: fc.constantFrom(..."0123456789abcdef"),
      minLength: 64,
      maxLength: 64,
    });
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, checksum), { selector: ([file]) => file }), (entries) => {
        const text = entries.map(([file, checksum]) => `SHA256(${file})= ${checksum}\n`).join("");
        expect([...parseManifest(Buffer.from(text))]).toEqual(
          entries.map(([file, checksum]) => [file, { SHA256: checksum }]),
        );
      }),
    );
  });

  test("any content is either read or broken", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        try {
          parseManifest(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(BrokenManifest);
        }
      }),
    );
  });
});

test("a manifest is recognized by its name", () => {
  expect(["a.mf", "A.MF", "a.mf.txt", "mf"].map((name) => isManifest({ name }))).toEqual([
    true,
    true,
    false,
    false,
  ]);
});
