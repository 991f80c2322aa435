import { readFileSync } from "node:fs";
import { SaxesParser } from "saxes";
import { describe, expect, test } from "vitest";
import { constantHeaders, HeaderReader } from "../../bench/drivers/hpack.ts";
import { parseResponse } from "../../bench/drivers/http1-connection.ts";
import { meets } from "../../bench/goals.ts";
import { barChart, niceStep } from "../../bench/plot.ts";
import { conditionsTable, goalsTable, page, tableMarks, withTables } from "../../bench/report.ts";
import { median, quantile, ratio, spread, table } from "../../bench/statistics.ts";
import { studies } from "../../bench/studies/studies.ts";

test("median, quantile and spread", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  const sorted = Float64Array.from({ length: 100 }, (_, index) => index + 1);
  expect(quantile(sorted, 0.5)).toBe(51);
  expect(quantile(sorted, 0.99)).toBe(100);
  expect(quantile(new Float64Array(), 0.5)).toBeNaN();
  expect(spread([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5 });
});

test("a ratio is that of the medians, its spread that of neighbours", () => {
  expect(ratio([10, 30, 20], [10, 10, 10])).toEqual({ median: 2, min: 1, max: 3 });
  expect(ratio([1, 9, 5], [2, 4, 5])).toEqual({ median: 1.25, min: 0.5, max: 2.25 });
});

test.each([
  [1.6, "≥ 1.6", true],
  [1.59, "≥ 1.6", false],
  [1, "> 1", false],
  [1.1, "≤ 1.1", true],
  [5, "< 5 ms", false],
  [4.9, "< 5 ms", true],
])("%d meets %s: %s", (value, target, met) => {
  expect(meets(value, target)).toBe(met);
});

test("a target without a relation is refused", () => {
  expect(() => meets(1, "1")).toThrow("not a target");
});

describe("the page", () => {
  const fresh = { name: "one", title: "One", header: ["a", "b"], rows: [["1", "2"]] };
  const text = "before\n<!-- table: one -->\nold\n<!-- end -->\n<!-- table: two -->\nkept\n<!-- end -->\n";

  test("gets new tables between its marks and keeps the others", () => {
    const result = withTables(text, [fresh]);
    expect(result).toBe(
      `before\n<!-- table: one -->\n${table(["a", "b"], [["1", "2"]])}\n<!-- end -->\n<!-- table: two -->\nkept\n<!-- end -->\n`,
    );
    expect(withTables(result, [fresh])).toBe(result);
  });

  test("refuses a table that has no mark", () => {
    expect(() => withTables(text, [{ ...fresh, name: "three" }])).toThrow("three");
  });

  test("has a mark for each table of a whole run, and no others", () => {
    const names = [
      conditionsTable,
      goalsTable,
      ...studies.flatMap(({ isExtra, tables }) => (isExtra ? [] : tables)),
    ];
    expect(tableMarks(readFileSync(page, "utf8")).sort()).toEqual(names.sort());
  });
});

describe("the chart", () => {
  test.each([
    [6, 1],
    [7, 2],
    [34_000, 10_000],
    [0.5, 0.1],
  ])("has sensible steps up to %d", (max, step) => {
    expect(niceStep(max)).toBeCloseTo(step, 10);
  });

  test("is well-formed XML, draws every bar, and escapes text", () => {
    const bar = (label: string, value: number, isOurs: boolean) => ({
      label,
      value,
      min: value - 10,
      max: value + 10,
      isOurs,
    });
    const svg = barChart({
      title: "a < b & c",
      subtitle: "two bars",
      groups: [{ title: "group", bars: [bar("peer", 100, false), bar("ours", 50, true)] }],
    });
    const widths: Record<string, number> = {};
    const texts: string[] = [];
    const parser = new SaxesParser();
    parser.on("error", (error) => {
      throw error;
    });
    parser.on("opentag", ({ name, attributes }) => {
      if (name === "rect") widths[attributes.class!] = Number(attributes.width);
    });
    parser.on("text", (content) => void texts.push(content));
    parser.write(svg).close();
    expect(texts).toContain("a < b & c");
    expect(texts).toContain("100");
    expect(widths.peer).toBeCloseTo(widths.ours! * 2, 0);
  });
});

describe("header blocks", () => {
  const block = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");

  // RFC 7541, C.6.1 and C.6.2, without the small table that these are about.
  test("with Huffman codes and an index that grows", () => {
    const reader = new HeaderReader();
    const first = block(
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    );
    expect(reader.find(first, "location")).toBe("https://www.example.com");
    expect(reader.find(block("4883 640e ff c1c0 bf"), ":status")).toBe("307");
    expect(reader.find(block("c0"), "date")).toBe("Mon, 21 Oct 2013 20:13:21 GMT");
    expect(reader.find(block("c1"), "date")).toBeUndefined();
    expect(() => reader.find(block("ff00"), "date")).toThrow("does not exist");
  });

  test("of a constant request: literals first, then what the reader's table has", () => {
    const { first, later } = constantHeaders([
      [":method", "POST"],
      [":path", "/a.b/C"],
      ["te", "trailers"],
    ]);
    const reader = new HeaderReader();
    for (const sent of [first, later, later]) {
      expect(reader.find(sent, ":method")).toBe("POST");
    }
    const other = new HeaderReader();
    expect(other.find(first, ":path")).toBe("/a.b/C");
    expect(other.find(later, ":path")).toBe("/a.b/C");
    expect(other.find(later, "te")).toBe("trailers");
    expect(later.length).toBe(3);
  });

  test.each([126, 127, 128, 254, 255, 2_000])("with a value of %d bytes", (length) => {
    const value = "x".repeat(length);
    const { first, later } = constantHeaders([["authorization", value]]);
    const reader = new HeaderReader();
    for (const sent of [first, later]) expect(reader.find(sent, "authorization")).toBe(value);
  });
});

test.each([
  ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", { status: 200, isLast: false }],
  ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", undefined],
  ["HTTP/1.1 200 OK\r\nContent-Len", undefined],
  [
    "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    { status: 503, isLast: false },
  ],
  ["HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", undefined],
  ["HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", { status: 204, isLast: true }],
])("the answer %j", (bytes, answer) => {
  expect(parseResponse(Buffer.from(bytes))).toEqual(answer);
});
