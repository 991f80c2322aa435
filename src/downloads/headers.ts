import { create as contentDisposition } from "content-disposition";
import type { Digests } from "../domain/preparation.ts";

/** Names and values in turn. */
export type Headers = string[];

/** Whoever keeps an answer asks again before it is used again, because a link may have closed; nobody recodes it. */
const cacheControl = "private, no-cache, no-transform";

/** What is told of a file whichever part of it is sent. */
export function fileHeaders(fileName: string, digests: Digests | undefined): Headers {
  const digest = digests && digestsField(digests);
  return [
    ...["content-type", "application/octet-stream"],
    ...["content-disposition", contentDisposition(fileName)],
    ...["cache-control", cacheControl],
    ...(digest === undefined ? [] : ["repr-digest", digest]),
  ];
}

/** What an answer without a new representation, 304, repeats of the one that it stands for. */
export function validatorHeaders(etag: string): Headers {
  return ["etag", etag, "cache-control", cacheControl];
}

/** A dictionary of digests as RFC 9530 has it, of the algorithms that it does not advise against. */
export function digestsField({ SHA256, SHA512 }: Digests): string {
  const members = [`sha-256=${bytesItem(SHA256)}`];
  if (SHA512 !== undefined) members.push(`sha-512=${bytesItem(SHA512)}`);
  return members.join(", ");
}

/** A byte sequence of RFC 9651. */
function bytesItem(hex: string): string {
  return `:${Buffer.from(hex, "hex").toString("base64")}:`;
}
