import { create as contentDisposition } from "content-disposition";
import { asciiName } from "../domain/ascii-name.ts";
import type { Digests } from "../domain/preparation.ts";

/** Names and values in turn. */
export type Headers = string[];

/** Caches revalidate a stored answer before each use, because the link may be closed by then; no proxy recodes it. */
const cacheControl = "private, no-cache, no-transform";

/** The headers of a file that do not depend on the part that is sent. */
export function fileHeaders(fileName: string, digests: Digests | undefined): Headers {
  const digest = digests && digestsField(digests);
  return [
    ...["content-type", "application/octet-stream"],
    ...["content-disposition", contentDisposition(fileName, { fallback: asciiName(fileName) ?? true })],
    ...["cache-control", cacheControl],
    ...(digest === undefined ? [] : ["repr-digest", digest]),
  ];
}

/** The headers of a 304, which repeat those of the answer that the client has stored. */
export function validatorHeaders(etag: string): Headers {
  return ["etag", etag, "cache-control", cacheControl];
}

/** A dictionary of digests (RFC 9530), of the algorithms that the RFC does not advise against. */
export function digestsField({ SHA256, SHA512 }: Digests): string {
  const members = [`sha-256=${bytesItem(SHA256)}`];
  if (SHA512 !== undefined) members.push(`sha-512=${bytesItem(SHA512)}`);
  return members.join(", ");
}

/** A byte sequence (RFC 9651). */
function bytesItem(hex: string): string {
  return `:${Buffer.from(hex, "hex").toString("base64")}:`;
}
