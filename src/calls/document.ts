import { createHash } from "node:crypto";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import Negotiator from "negotiator";
import { discardBody, isRead, refuseMethod } from "./http.ts";
import type { ProtocolHandler } from "./protocol-handler.ts";

/** Something that the service has made once, for anybody to read. */
export interface Document {
  readonly name: string;
  readonly path: string;
  /** Its Content-Type. */
  readonly type: string;
  readonly bytes: Uint8Array;
  readonly cacheControl: string;
}

/**
 * Serves a document: GET and HEAD, without credentials, compressed on request, and not again to clients that have it.
 * Ranges are ignored.
 *
 * @param pageHeaders names and values in turn; see `pageHeaders`
 */
export function documentHandler(document: Document, pageHeaders: readonly string[]): ProtocolHandler {
  const { name, path, type, bytes, cacheControl } = document;
  // The best quality takes forty times as long, at each start, for a tenth less.
  const params = { [constants.BROTLI_PARAM_QUALITY]: 6 };
  const encodings = { br: brotliCompressSync(bytes, { params }), gzip: gzipSync(bytes), identity: bytes };
  const digest = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
  // Weak, because all encodings have it.
  const caching = ["etag", `W/${digest}`, "cache-control", cacheControl, "vary", "accept-encoding"];
  return {
    name,
    headers: { request: [], response: [] },
    takes: (_, requested) => requested === path,
    serve(request, response) {
      discardBody(request);
      if (!isRead(request)) return refuseMethod(response, pageHeaders);
      if (isKnown(request.headers["if-none-match"], digest)) {
        response.writeHead(304, [...caching, ...pageHeaders]);
        response.end();
        return;
      }
      const accepted = new Negotiator(request).encoding(["br", "gzip", "identity"]) ?? "identity";
      const body = encodings[accepted as keyof typeof encodings];
      response.writeHead(200, [
        ...["content-type", type, "content-length", String(body.length)],
        ...(body === bytes ? [] : ["content-encoding", accepted]),
        ...caching,
        ...pageHeaders,
      ]);
      response.end(request.method === "GET" ? body : "");
    },
  };
}

/** Whether a client has what the digest names (RFC 9110, section 13.1.2). */
function isKnown(ifNoneMatch: string | undefined, digest: string): boolean {
  return ifNoneMatch !== undefined && (ifNoneMatch.trim() === "*" || ifNoneMatch.includes(digest));
}
