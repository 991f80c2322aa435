import { describe, expect, test } from "vitest";
import { ServiceError } from "../../src/domain/errors.ts";
import { decodeForm } from "../../src/protocols/vapi/codecs/form.ts";
import { decodeJson, encodeJson } from "../../src/protocols/vapi/codecs/json.ts";
import { decodeXml, encodeXml } from "../../src/protocols/vapi/codecs/xml.ts";
import { NumberLiteral } from "../../src/protocols/vapi/tree.ts";

const root = {
  name: "KeepAlive-Input",
  namespace: "http://vmware.com/content/library/item/download_session",
};
const json = (text: string) => decodeJson(Buffer.from(text));
const form = (text: string) => decodeForm(Buffer.from(text));
const xml = (text: string) => decodeXml(Buffer.from(text), root);
/** An input document with these children. */
const input = (children: string) =>
  xml(`<ns0:KeepAlive-Input xmlns:ns0="${root.namespace}">${children}</ns0:KeepAlive-Input>`);

function refusal(decode: () => unknown): string {
  try {
    decode();
  } catch (error) {
    if (error instanceof ServiceError) return `${error.kind}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

describe("JSON", () => {
  test("numbers are kept as they are written", () => {
    expect(json('{"a":9223372036854775808,"b":1e1,"c":[10.0]}')).toEqual({
      a: new NumberLiteral("9223372036854775808"),
      b: new NumberLiteral("1e1"),
      c: [new NumberLiteral("10.0")],
    });
    expect(encodeJson({ a: new NumberLiteral("9223372036854775807"), b: 1 })).toBe(
      '{"a":9223372036854775807,"b":1}',
    );
  });

  test("a byte order mark is skipped", () => expect(json('\ufeff{"a":"b"}')).toEqual({ a: "b" }));

  test("null is an empty body", () => expect(json(" null ")).toBeNull());

  test("brackets within texts are not nesting", () => {
    expect(json(JSON.stringify({ a: `"${"[".repeat(1000)}` }))).toEqual({ a: `"${"[".repeat(1000)}` });
  });

  test("__proto__ is a name like any other", () => {
    const tree = json('{"__proto__":{"admin":true}}');
    expect(Object.keys(tree!)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(tree)).toBe(Object.prototype);
  });

  test.each([
    ["empty object, cut", "{"],
    ["a text, cut", '{"a":"b'],
    ["trailing junk", "{} {}"],
    ["a list", "[]"],
    ["a text", '"a"'],
    ["a comment", "{/* */}"],
    ["single quotes", "{'a':1}"],
    ["NaN", '{"a":NaN}'],
    ["a raw NUL", '{"a":"\u0000"}'],
    ["deep lists", '{"a":'.concat("[".repeat(30_000))],
    ["deep objects", '{"a":'.repeat(10_000)],
    ["deep and closed", `${'{"a":'.repeat(40)}1${"}".repeat(40)}`],
  ])("%s is refused", (_, text) => expect(refusal(() => json(text))).toMatch(/^invalid_request: /));

  test("invalid UTF-8 is refused", () => {
    expect(refusal(() => decodeJson(Buffer.from('{"a":"\xff"}', "latin1")))).toMatch(/not valid UTF-8/);
  });
});

describe("form", () => {
  test.each<[string, string, unknown]>([
    [
      "a leading &, as the samples print it",
      "&progress=10&download_session_id=obj-103",
      { progress: "10", download_session_id: "obj-103" },
    ],
    [
      "a parameter a line",
      "&progress=10\r\n&download_session_id=obj-103\n",
      { progress: "10", download_session_id: "obj-103" },
    ],
    ["dots nest", "create_spec.error_message.id=x", { create_spec: { error_message: { id: "x" } } }],
    ["numbered lists", "a.args.1=x&a.args.2=y", { a: { args: { 1: "x", 2: "y" } } }],
    ["a repeated name is a list", "f=a&f=b&f=c", { f: ["a", "b", "c"] }],
    ["percent-encoding", "t=2013-06-06T22%3A13%3A05&s=a+b%2Bc", { t: "2013-06-06T22:13:05", s: "a b+c" }],
    ["no value", "a&b=", { a: "", b: "" }],
    ["nothing", "&&", {}],
  ])("%s", (_, text, tree) => expect(form(text)).toEqual(tree));

  test("__proto__ is a name like any other", () => {
    const tree = form("__proto__.admin=true&__proto__.x=1");
    expect(Object.keys(tree!)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test.each([
    ["broken percent-encoding", "a=%zz"],
    ["a cut percent-encoding", "a=%e"],
    ["percent-encoded bytes that are not UTF-8", "a=%ff"],
    ["a value and a structure", "a=1&a.b=2"],
    ["a structure and a value", "a.b=2&a=1"],
    ["an empty name within dots", "a..b=1"],
    ["no name", "=1"],
    ["deep nesting", `${"a.".repeat(2000)}a=1`],
  ])("%s is refused", (_, text) => expect(refusal(() => form(text))).toMatch(/^invalid_request: /));
});

describe("XML", () => {
  test.each<[string, string, unknown]>([
    [
      "leaves are texts",
      "<progress>10</progress><download_session_id>obj-103</download_session_id>",
      { progress: "10", download_session_id: "obj-103" },
    ],
    ["structures nest", "<a><b><c>x</c></b></a>", { a: { b: { c: "x" } } }],
    ["lists", "<args-array><array-item>x</array-item><array-item/></args-array>", { args: ["x", ""] }],
    ["an empty list", "<args-array/>", { args: [] }],
    ["lists of structures", "<m-array><array-item><id>x</id></array-item></m-array>", { m: [{ id: "x" }] }],
    ["white space between elements", "\n  <a>\n <b> x </b>\n</a>\n", { a: { b: " x " } }],
    ["qualified children", "<ns0:progress>1</ns0:progress>", { progress: "1" }],
    ["any prefix", `<p:progress xmlns:p="${root.namespace}">1</p:progress>`, { progress: "1" }],
    ["CDATA and predefined entities", "<a><![CDATA[<x>]]>&amp;&#65;</a>", { a: "<x>&A" }],
    ["comments and instructions", "<!-- c --><?pi x?><a>1</a>", { a: "1" }],
    [
      "nil is unset",
      '<progress xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>',
      { progress: null },
    ],
    ["an empty element is an empty text", "<a/>", { a: "" }],
    ["nothing", "", {}],
  ])("%s", (_, children, tree) => expect(input(children)).toEqual(tree));

  test("a root without a namespace is accepted", () => {
    expect(xml("<KeepAlive-Input><progress>1</progress></KeepAlive-Input>")).toEqual({ progress: "1" });
  });

  test.each([
    ["nothing at all", ""],
    ["cut", `<ns0:KeepAlive-Input xmlns:ns0="${root.namespace}"><progress>10</prog`],
    ["trailing junk", "<KeepAlive-Input/>junk"],
    ["a second root", "<KeepAlive-Input/><KeepAlive-Input/>"],
    ["another operation", "<Cancel-Input/>"],
    ["another namespace", '<KeepAlive-Input xmlns="http://example.test/"/>'],
    ["a document type", "<!DOCTYPE KeepAlive-Input><KeepAlive-Input/>"],
    [
      "an entity bomb",
      '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><KeepAlive-Input>&b;</KeepAlive-Input>',
    ],
    [
      "an external entity",
      '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><KeepAlive-Input><a>&f;</a></KeepAlive-Input>',
    ],
    ["an undefined entity", "<KeepAlive-Input><a>&nbsp;</a></KeepAlive-Input>"],
    ["a repeated element", "<KeepAlive-Input><progress>1</progress><progress>2</progress></KeepAlive-Input>"],
    ["a repeated list", "<KeepAlive-Input><a-array/><a-array/></KeepAlive-Input>"],
    ["a value and a list", "<KeepAlive-Input><a>1</a><a-array/></KeepAlive-Input>"],
    ["text between elements", "<KeepAlive-Input>x<progress>1</progress></KeepAlive-Input>"],
    ["only text", "<KeepAlive-Input>x</KeepAlive-Input>"],
    ["another element in a list", "<KeepAlive-Input><a-array><b/></a-array></KeepAlive-Input>"],
    [
      "a child of another namespace",
      '<KeepAlive-Input><p:a xmlns:p="http://example.test/"/></KeepAlive-Input>',
    ],
    ["an unknown attribute", '<KeepAlive-Input><a b="c"/></KeepAlive-Input>'],
    ["a duplicate attribute", '<KeepAlive-Input><a b="c" b="d"/></KeepAlive-Input>'],
    ["an undeclared prefix", "<KeepAlive-Input><p:a/></KeepAlive-Input>"],
    [
      "nil with content",
      '<KeepAlive-Input xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><a xsi:nil="true">x</a></KeepAlive-Input>',
    ],
    ["a control character", "<KeepAlive-Input><a>\u0001</a></KeepAlive-Input>"],
    ["a NUL by number", "<KeepAlive-Input><a>&#0;</a></KeepAlive-Input>"],
    ["another encoding", '<?xml version="1.0" encoding="utf-16"?><KeepAlive-Input/>'],
    ["deep nesting", `<KeepAlive-Input>${"<a>".repeat(5000)}`],
  ])("%s is refused", (_, text) => expect(refusal(() => xml(text))).toMatch(/^invalid_request: /));

  test("answers are written as the samples show them", () => {
    const result = {
      value: { id: 'a<b>&"c"', args: ["x", "y"], none: [], long: 40, text: "nul \u0000 cr \r" },
    };
    expect(encodeXml(result, { ...root, name: "Get-Result" })).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n' +
        `<ns0:Get-Result xmlns:ns0="${root.namespace}"><value><id>a&lt;b&gt;&amp;"c"</id>` +
        "<args-array><array-item>x</array-item><array-item>y</array-item></args-array><none-array></none-array>" +
        "<long>40</long><text>nul \ufffd cr &#13;</text></value></ns0:Get-Result>",
    );
  });

  test("a list at the top is value-array", () => {
    expect(encodeXml({ value: ["a"] }, { ...root, name: "List-Result" })).toContain(
      "<value-array><array-item>a</array-item></value-array>",
    );
  });
});
