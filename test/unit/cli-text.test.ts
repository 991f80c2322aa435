import fc from "fast-check";
import stringWidth from "string-width";
import { describe, expect, test } from "vitest";
import { Rate } from "../../src/cli/get/rate.ts";
import { ServerClock } from "../../src/cli/sessions/server-clock.ts";
import { cutToWidth, duration, jsonLine, table } from "../../src/cli/text.ts";
import { enumName } from "../../src/client/enum-name.ts";
import { visible } from "../../src/client/printable.ts";

/** Characters that could fool a terminal or its user. */
const dangerous = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const anyText = fc.string({ unit: "binary" });

describe("text of a server", () => {
  test.each([
    ["plain ünïcödé 日本", "plain ünïcödé 日本"],
    ["\x1b[31m", "\\x1b[31m"],
    ["a\r\n\tb", "a\\x0d\\x0a\\x09b"],
    ["\u009b2J", "\\x9b2J"],
    ["photo\u202egpj.exe", "photo\\u{202e}gpj.exe"],
    ["a\u200bb\u{e0041}", "a\\u{200b}b\\u{e0041}"],
    ["\ud800", "\ufffd"],
  ])("%j is shown as %j", (text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  test("is always shown without dangerous characters", () => {
    fc.assert(fc.property(anyText, (text) => !dangerous.test(visible(text))));
  });

  test("is unchanged in JSON, without dangerous characters", () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, anyText), (value) => {
        const line = jsonLine(value);
        expect(line).not.toMatch(dangerous);
        expect(JSON.parse(line)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe("a table", () => {
  const columns = [{ title: "NAME", shrinks: true }, { title: "SIZE", right: true }, { title: "ID" }];

  test("has columns below each other, of wide characters, too", () => {
    expect(
      table(columns, [
        ["日本語", "1 B", "a"],
        ["x", "1000 MiB", "bc"],
      ]),
    ).toEqual(["NAME        SIZE  ID", "日本語       1 B  a", "x       1000 MiB  bc"]);
  });

  test("leaves out columns of a narrow terminal, those with the highest numbers first, but no other", () => {
    const some = [
      { title: "ID" },
      { title: "NAME", shrinks: true, drop: 2 },
      { title: "SIZE", drop: 1 },
      { title: "AGE", drop: 3 },
    ];
    const rows = [["0123456789", "a-long-name.iso", "10 B", "1s"]];
    const titles = (width?: number) => table(some, rows, width)[0]!.split(/ +/);
    expect(titles()).toEqual(["ID", "NAME", "SIZE", "AGE"]);
    expect(titles(31)).toEqual(["ID", "NAME", "SIZE", "AGE"]);
    expect(titles(30)).toEqual(["ID", "NAME", "SIZE"]);
    expect(titles(25)).toEqual(["ID", "SIZE"]);
    expect(titles(15)).toEqual(["ID"]);
    expect(table(some, rows, 5)).toEqual(["ID", "0123456789"]);
    expect(table(some, rows, 31)[1]).toBe("0123456789  a-long-…  10 B  1s");
  });

  test("without rows is its titles", () => {
    expect(table(columns, [])).toEqual(["NAME  SIZE  ID"]);
  });

  test("cuts what may be cut, and nothing else, to the width of the terminal", () => {
    const lines = table(columns, [["a-very-long-name.vmdk", "1 B", "the-identifier"]], 36);
    expect(lines).toEqual(["NAME            SIZE  ID", "a-very-long-n…   1 B  the-identifier"]);
    expect(table(columns, [["abcdefghij", "1 B", "x".repeat(50)]], 20)[1]).toBe(
      `abcdefg…   1 B  ${"x".repeat(50)}`,
    );
  });
});

test("text cut to a width is never wider than the limit, and not cut unnecessarily", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 30 }), (text, columns) => {
      const shown = visible(text);
      expect(stringWidth(cutToWidth(shown, columns))).toBeLessThanOrEqual(columns);
      if (stringWidth(shown) <= columns) expect(cutToWidth(shown, columns)).toBe(shown);
    }),
  );
});

test.each([
  [-5, "0s"],
  [400, "0s"],
  [59_600, "1m"],
  [298_000, "4m 58s"],
  [7_205_000, "2h"],
  [90_000_000, "1d 1h"],
])("%i ms are %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test("a value that this release does not know is its number", () => {
  expect(enumName({ A: 0, B: 1 }, 1)).toBe("B");
  expect(enumName({ A: 0, B: 1 }, 7)).toBe("7");
});

describe("a rate", () => {
  test("is that of the last seconds", () => {
    const rate = new Rate();
    for (let second = 0; second <= 20; second++) rate.add(second * 1000, second * 1000);
    for (let second = 21; second <= 40; second++) rate.add(20_000 + (second - 20) * 3000, second * 1000);
    expect(rate.perSecond(40_000)).toBeCloseTo(3000);
    expect(rate.remainingMs(95_000, 40_000)).toBeCloseTo(5_000);
  });

  test("falls while no bytes arrive, until there is no estimate", () => {
    const rate = new Rate();
    rate.add(0, 0);
    rate.add(1000, 1000);
    rate.add(1000, 2000);
    expect(rate.perSecond(2000)).toBe(500);
    for (let at = 3000; at <= 12_000; at += 1000) rate.add(1000, at);
    expect(rate.perSecond(12_000)).toBe(0);
    expect(rate.remainingMs(5000, 12_000)).toBeUndefined();
  });

  test("does not count the time before the first bytes", () => {
    const rate = new Rate();
    for (let at = 0; at <= 5000; at += 100) rate.add(7, at);
    rate.add(1007, 6000);
    expect(rate.perSecond(6000)).toBe(1000);
  });

  test("is undefined at the beginning, and starts over when bytes are fetched again", () => {
    const rate = new Rate();
    expect(rate.perSecond(0)).toBeUndefined();
    rate.add(0, 0);
    expect(rate.perSecond(100)).toBeUndefined();
    rate.add(9000, 1000);
    rate.add(100, 1100);
    expect(rate.perSecond(1200)).toBeUndefined();
    rate.add(1100, 2100);
    expect(rate.perSecond(2100)).toBe(1000);
  });
});

describe("the clock of a server", () => {
  test("is the local time if the clocks agree, or without a header", () => {
    const clock = new ServerClock();
    const moment = new Date(Date.now() + 60_000);
    clock.set(null);
    clock.set("nonsense");
    clock.set(new Date().toUTCString());
    expect(Math.abs(clock.until(moment) - 60_000)).toBeLessThan(1000);
  });

  test("counts when it is another", () => {
    const clock = new ServerClock();
    clock.set(new Date(Date.now() - 3_600_000).toUTCString());
    const expiry = new Date(Date.now() - 3_600_000 + 300_000);
    expect(Math.abs(clock.until(expiry) - 300_000)).toBeLessThan(2000);
  });
});
