import { SaxesParser } from "saxes";
import { decodeUtf8, malformed } from "../codecs/utf8.ts";
import { escapeXml } from "../codecs/xml.ts";
import { maxDepth } from "../tree.ts";

/** The request in a SOAP envelope. */
export interface SoapRequest {
  /** For example `Login`. */
  readonly method: string;
  /** The texts of its elements that an operation reads; the first one of each path. */
  readonly texts: ReadonlyMap<TextPath, string>;
}

/** Where an element is in a request. Others are not kept: a path may be as long as a request, and there may be many. */
export type TextPath = (typeof textPaths)[number];
const textPaths = ["userName", "password", "specSet/objectSet/obj"] as const;
const namesByPath = textPaths.map((path) => [path, path.split("/")] as const);

/** The envelope, its body and the request are around the elements of a request. */
const requestDepth = 3;

/**
 * Reads a SOAP 1.1 envelope.
 *
 * @throws ServiceError `invalid_request`
 */
export function readEnvelope(bytes: Buffer): SoapRequest {
  const parser = new SaxesParser({ xmlns: true });
  const path: string[] = [];
  const texts = new Map<TextPath, string>();
  let method: string | undefined;
  let text = "";
  parser.on("error", ({ message }) => {
    throw malformed(`the XML is not well-formed (${message})`);
  });
  parser.on("doctype", () => {
    throw malformed("a document type declaration is not accepted");
  });
  parser.on("opentag", ({ local }) => {
    if (path.length >= maxDepth) throw malformed("the XML is nested too deeply");
    path.push(local);
    text = "";
    if (path.length === requestDepth && path[1] === "Body") method ??= local;
  });
  parser.on("text", (piece) => {
    text += piece;
  });
  parser.on("cdata", (piece) => {
    text += piece;
  });
  parser.on("closetag", () => {
    const textPath = textPathOf(path);
    if (textPath !== undefined && !texts.has(textPath)) texts.set(textPath, text);
    path.pop();
    text = "";
  });
  parser.write(decodeUtf8(bytes)).close();
  if (method === undefined) throw malformed("the SOAP envelope has no request");
  return { method, texts };
}

/** @param path names of elements, from the envelope on */
function textPathOf(path: readonly string[]): TextPath | undefined {
  if (path[1] !== "Body") return undefined;
  return namesByPath.find(
    ([, names]) =>
      path.length === requestDepth + names.length &&
      names.every((name, index) => path[requestDepth + index] === name),
  )?.[0];
}

const declarations = [
  'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"',
  'xmlns:xsd="http://www.w3.org/2001/XMLSchema"',
  'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"',
].join(" ");

function envelope(body: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope ${declarations}><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`;
}

/** @param content XML */
export function writeResponse(method: string, content: string): string {
  return envelope(`<${method}Response xmlns="urn:vim25">${content}</${method}Response>`);
}

/** @param fault the type of the fault in vSphere's own schema, for example `InvalidLogin`; undefined for none */
export function writeFault(message: string, fault: string | undefined): string {
  const detail =
    fault === undefined
      ? ""
      : `<detail><${fault}Fault xmlns="urn:vim25" xsi:type="${fault}"></${fault}Fault></detail>`;
  return envelope(
    `<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>${escapeXml(message)}</faultstring>${detail}</soapenv:Fault>`,
  );
}

/** An element that contains texts, or XML that is already written. */
export function element(name: string, content: string, attributes = ""): string {
  return `<${name}${attributes}>${content}</${name}>`;
}

/** Elements with texts, in their order. */
export function elements(texts: Readonly<Record<string, string>>): string {
  return Object.entries(texts)
    .map(([name, text]) => element(name, escapeXml(text)))
    .join("");
}
