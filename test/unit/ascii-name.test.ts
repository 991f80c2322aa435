import { parse } from "content-disposition";
import { describe, expect, test } from "vitest";
import { asciiName } from "../../src/domain/ascii-name.ts";
import { fileHeaders } from "../../src/downloads/headers.ts";

function disposition(name: string): string {
  const headers = fileHeaders(name, undefined);
  return headers[headers.indexOf("content-disposition") + 1]!;
}

describe("the name that a link gives a file", () => {
  test.each([
    ["photon.ova", "attachment; filename=photon.ova"],
    [
      "naïve €.iso",
      "attachment; filename=\"na%C3%AFve %E2%82%AC.iso\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.iso",
    ],
    ["a b;c's.iso", 'attachment; filename="a b;c\'s.iso"'],
    ["漢字.iso", "attachment; filename=%E6%BC%A2%E5%AD%97.iso; filename*=UTF-8''%E6%BC%A2%E5%AD%97.iso"],
    ['quote".iso', "attachment; filename=quote%22.iso; filename*=UTF-8''quote%22.iso"],
    ["back\\slash.iso", "attachment; filename=back%5Cslash.iso; filename*=UTF-8''back%5Cslash.iso"],
  ])("%s", (name, header) => {
    expect(disposition(name)).toBe(header);
  });

  test.each(["ü-nfc.iso", "u\u0308-nfd.iso", "100%41.iso", "a\u{1f989}.ova", `"\\"`, "tab\t.iso"])(
    "%j is the same to a client that understands filename*",
    (name) => {
      expect(
        parse(disposition(name)).parameters["filename*"] ?? parse(disposition(name)).parameters.filename,
      ).toBe(name);
    },
  );

  test("differs in ASCII where it differs, and keeps its extension", () => {
    const names = ["漢字.iso", "日本.iso", "ü.iso", "u\u0308.iso", 'a".iso', "a\\.iso"];
    expect(new Set(names.map(asciiName)).size).toBe(names.length);
    const long = asciiName(`${"漢".repeat(80)}.vmdk`)!;
    expect(long).toMatch(/^(?:%E6%BC%A2){26}\.vmdk$/);
    expect(long.length).toBeLessThan(255);
  });
});
