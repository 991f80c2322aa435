import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { ServiceError } from "../../domain/errors.ts";
import { connectErrorOf } from "./errors.ts";

const binaryType = "application/grpc-web";
const textType = `${binaryType}-text`;

/** The media type of gRPC-Web's binary form for that of its text form; undefined for any other. */
export function binaryTypeOf(mediaType: string): string | undefined {
  const isText = mediaType === textType || mediaType.startsWith(`${textType}+`);
  return isText ? binaryType + mediaType.slice(textType.length) : undefined;
}

/**
 * Decodes a body in base64. It may consist of several texts, each with its own padding.
 *
 * @throws ConnectError when it is not base64
 */
export async function* decoded(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest = "";
  for await (const chunk of body) {
    const text = rest + Buffer.from(chunk).toString("latin1");
    const end = text.length - (text.length % 4);
    rest = text.slice(end);
    if (end > 0) yield decode(text.slice(0, end));
  }
  if (rest !== "") throw notBase64();
}

function decode(text: string): Buffer {
  const parts = text.match(/[^=]+={0,2}/g) ?? [];
  const isBase64 = parts.every((part) => part.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(part));
  if (!isBase64 || text.startsWith("=")) throw notBase64();
  return Buffer.concat(parts.map((part) => Buffer.from(part, "base64")));
}

function notBase64() {
  return connectErrorOf(new ServiceError("downlease.request.malformed", ["it is not base64"]));
}

/** The response in the text form: each piece in base64, so that it can be read as soon as it arrives. */
export function asText(response: UniversalServerResponse): UniversalServerResponse {
  const { header = new Headers(), body } = response;
  const contentType = header.get("content-type") ?? "";
  if (contentType.startsWith(binaryType)) {
    header.set("content-type", textType + contentType.slice(binaryType.length));
  }
  return body === undefined ? response : { ...response, header, body: encoded(body) };
}

async function* encoded(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of body) yield Buffer.from(Buffer.from(piece).toString("base64"), "latin1");
}
