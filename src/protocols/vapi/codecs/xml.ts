import { SaxesParser, type SaxesTagNS } from "saxes";
import { emptyObject, isTreeObject, maxDepth, NumberLiteral, type Tree, type TreeObject } from "../tree.ts";
import { decodeUtf8, malformed } from "./utf8.ts";

/** A root element. */
export interface XmlRoot {
  /** For example `KeepAlive-Input`. */
  readonly name: string;
  readonly namespace: string;
}

const schemaInstance = "http://www.w3.org/2001/XMLSchema-instance";
const xmlns = "http://www.w3.org/2000/xmlns/";
const blank = /^[ \t\r\n]*$/;

/** An element whose end tag has not been read yet. */
interface OpenElement {
  readonly name: string;
  readonly isNil: boolean;
  readonly isArray: boolean;
  text: string;
  children: { [name: string]: Tree } | undefined;
  items: Tree[];
}

/**
 * Reads the XML that the 2014 documentation shows: unqualified children in any order, named as the JSON members;
 * `f-array` with `array-item` children for a list `f`. Qualified children, any prefix and a root without a
 * namespace are accepted; `xsi:nil="true"` is an unset member, at the root an empty body. Leaves are texts.
 *
 * A document type declaration is refused, and with it every entity except the five predefined ones.
 */
export function decodeXml(bytes: Buffer, root: XmlRoot): TreeObject | null {
  const parser = new SaxesParser({ xmlns: true });
  const stack: OpenElement[] = [];
  let result: Tree = emptyObject();

  parser.on("error", (error) => {
    throw malformed(`the XML is not well-formed (${error.message})`);
  });
  parser.on("doctype", () => {
    throw malformed("a document type declaration is not accepted");
  });
  parser.on("xmldecl", ({ encoding }) => {
    if (encoding !== undefined && !/^(utf-8|us-ascii)$/i.test(encoding)) {
      throw malformed(`the encoding ${encoding} is not accepted, only UTF-8`);
    }
  });
  parser.on("opentag", (tag) => {
    if (stack.length === 0) checkRoot(tag, root);
    else if (tag.uri !== "" && tag.uri !== root.namespace) throw unknownElement(tag);
    if (stack.length >= maxDepth) throw malformed("the XML is nested too deeply");
    const parent = stack.at(-1);
    if (parent?.isArray && tag.local !== "array-item") throw unknownElement(tag);
    stack.push({
      name: tag.local,
      isNil: readNil(tag),
      isArray: stack.length > 0 && tag.local.endsWith("-array"),
      text: "",
      children: undefined,
      items: [],
    });
  });
  const onText = (text: string) => {
    const open = stack.at(-1);
    if (open !== undefined) open.text += text;
  };
  parser.on("text", onText);
  parser.on("cdata", onText);
  parser.on("closetag", () => {
    const open = stack.pop()!;
    const tree = close(open);
    const parent = stack.at(-1);
    if (parent === undefined) result = tree;
    else if (parent.isArray) parent.items.push(tree);
    else {
      const name = open.isArray ? open.name.slice(0, -"-array".length) : open.name;
      parent.children ??= emptyObject();
      if (parent.children[name] !== undefined) throw malformed(`the element '${name}' is repeated`);
      parent.children[name] = tree;
    }
  });
  parser.write(decodeUtf8(bytes)).close();
  if (result === null || isTreeObject(result)) return result;
  if (typeof result === "string" && blank.test(result)) return emptyObject();
  throw malformed(`'${root.name}' must contain elements, not text`);
}

export function encodeXml(tree: TreeObject, root: XmlRoot): string {
  const members = Object.entries(tree).map(([name, value]) => writeMember(name, value));
  return `<?xml version="1.0" encoding="UTF-8"?>\n<ns0:${root.name} xmlns:ns0="${root.namespace}">${members.join("")}</ns0:${root.name}>`;
}

function checkRoot(tag: SaxesTagNS, root: XmlRoot): void {
  if (tag.local !== root.name || (tag.uri !== "" && tag.uri !== root.namespace)) {
    throw malformed(`the root element must be '${root.name}' in the namespace '${root.namespace}'`);
  }
}

function readNil(tag: SaxesTagNS): boolean {
  let isNil = false;
  for (const attribute of Object.values(tag.attributes)) {
    if (attribute.uri === xmlns) continue;
    if (attribute.uri !== schemaInstance) {
      throw malformed(`the attribute '${attribute.name}' of '${tag.local}' is unknown`);
    }
    if (attribute.local === "nil") isNil = /^(true|1)$/.test(attribute.value.trim());
  }
  return isNil;
}

function close(open: OpenElement): Tree {
  const hasContent = open.children !== undefined || open.items.length > 0 || !blank.test(open.text);
  if (open.isNil) {
    if (hasContent) throw malformed(`'${open.name}' is nil but has content`);
    return null;
  }
  if ((open.isArray || open.children !== undefined) && !blank.test(open.text)) {
    throw malformed(`'${open.name}' contains text between its elements`);
  }
  if (open.isArray) return open.items;
  return open.children ?? open.text;
}

function unknownElement(tag: SaxesTagNS): Error {
  return malformed(`the element '${tag.name}' is not expected here`);
}

function writeMember(name: string, tree: Tree): string {
  if (tree === null) return "";
  if (Array.isArray(tree)) {
    return `<${name}-array>${tree.map((item) => writeMember("array-item", item)).join("")}</${name}-array>`;
  }
  if (isTreeObject(tree)) {
    const members = Object.entries(tree).map(([member, value]) => writeMember(member, value));
    return `<${name}>${members.join("")}</${name}>`;
  }
  return `<${name}>${escapeXml(tree instanceof NumberLiteral ? tree.text : String(tree))}</${name}>`;
}

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;" };
// biome-ignore lint/suspicious/noControlCharactersInRegex: characters that XML 1.0 cannot carry
const unrepresentable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(unrepresentable, "\ufffd")
    .replace(/[&<>\r]/g, (char) => escapes[char]!);
}
