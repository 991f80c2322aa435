import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { apiDialect, restDialect } from "../../src/protocols/vapi/dialects.ts";
import { QueryReader } from "../../src/protocols/vapi/query.ts";

function outcome(reader: QueryReader, text: string): unknown {
  try {
    return reader.read(text);
  } catch (error) {
    return (error as Error).message;
  }
}

describe("a query string", () => {
  const reader = new QueryReader(restDialect);
  reader.prepareAction("");
  reader.prepareAction("keep-alive");

  test.each<[string, string, [string, string][]]>([
    ["", "", []],
    ["~action=keep-alive", "keep-alive", []],
    ["~action=keep%2Dalive", "keep-alive", []],
    ["~action=unknown", "unknown", []],
    ["~action=", "", []],
    ["~action", "", []],
    ["&~action=keep-alive&progress=10", "keep-alive", [["progress", "10"]]],
    [
      "a=1&~action=keep-alive&a=2",
      "keep-alive",
      [
        ["a", "1"],
        ["a", "2"],
      ],
    ],
    ["action=keep-alive", "", [["action", "keep-alive"]]],
  ])("'%s' has the action '%s'", (text, action, members) =>
    expect(reader.read(text)).toEqual({ action, members }),
  );

  test("two actions are refused, equal ones too", () => {
    expect(() => reader.read("~action=keep-alive&~action=keep-alive")).toThrow("set more than once");
  });

  test("broken percent-encoding is refused", () => {
    expect(() => reader.read("~action=keep-alive&a=%zz")).toThrow("percent-encoding");
  });
});

describe("a query string of /api", () => {
  const reader = new QueryReader(apiDialect);
  reader.prepareAction("keep-alive");

  test.each<[string, string | undefined, [string, string][]]>([
    ["", "", []],
    ["action=keep-alive", "keep-alive", []],
    ["action=%6beep-alive&a=1", "keep-alive", [["a", "1"]]],
    ["~action=keep-alive", undefined, [["~action", "keep-alive"]]],
    ["action=keep-alive&%7Eaction=keep-alive", undefined, [["~action", "keep-alive"]]],
  ])("'%s' has the action '%s'", (text, action, members) =>
    expect(reader.read(text)).toEqual({ action, members }),
  );
});

test("preparing an action changes no answer", () => {
  const text = fc
    .array(fc.constantFrom("~action", "=", "&", "keep-alive", "%2D", "+", "%", "a", "\n"), { maxLength: 8 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, fc.constantFrom("", "keep-alive", "a b", "a&b", "a%2Db"), (query, action) => {
      const plain = new QueryReader(restDialect);
      const prepared = new QueryReader(restDialect);
      prepared.prepareAction(action);
      for (const each of [query, `~action=${action}`]) {
        expect(outcome(prepared, each)).toEqual(outcome(plain, each));
      }
    }),
  );
});
