import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { parse as parseRange } from "range-parser";
import type { ByteRange, ContentFile } from "../domain/content-source.ts";
import type { Link } from "./links.ts";

/** The answer that a request for an existing file selects (RFC 9110, sections 13 and 14). */
export type Selection =
  | { readonly status: 200 }
  | { readonly status: 206; readonly range: ByteRange }
  | { readonly status: 304 | 412 | 416 };

const whole: Selection = { status: 200 };

/**
 * A strong validator, the same on every replica: different bytes have different tags. It is that of the storage where
 * the storage has one, so that a download may go on there (`Offload`).
 */
export function entityTagOf(
  { fileName, contentVersion }: Link,
  { version, size, etag }: ContentFile,
): string {
  if (etag !== undefined) return etag;
  const digest = createHash("sha256").update(JSON.stringify([fileName, contentVersion, version, size]));
  return `"${digest.digest("base64url").slice(0, 27)}"`;
}

/**
 * Evaluates preconditions and Range (RFC 9110, 13 and 14). Conditions on times are ignored: there is no `Last-Modified`.
 *
 * Several ranges in one request are answered with the whole file, as RFC 9110 (14.2) allows: downloaders request one
 * range, and clients that request many small ones are no downloaders.
 */
export function select(
  method: "GET" | "HEAD",
  headers: IncomingHttpHeaders,
  etag: string,
  size: number,
): Selection {
  const { range, "if-match": ifMatch, "if-none-match": ifNoneMatch } = headers;
  const ifRange = headers["if-range"]?.toString();
  if (ifMatch !== undefined && !namesTag(ifMatch, etag, isSame)) return { status: 412 };
  if (ifNoneMatch !== undefined && namesTag(ifNoneMatch, etag, isSameWeakly)) return { status: 304 };
  // Ranges are defined for GET only.
  if (range === undefined || method !== "GET") return whole;
  // Any other If-Range than this strong tag, a date for example, selects the whole file.
  if (ifRange !== undefined && ifRange.trim() !== etag) return whole;
  return selectRange(range, size);
}

function selectRange(text: string, size: number): Selection {
  const { code, type, ranges } = parseRange(size, text);
  const isMalformed = (code & 1) !== 0;
  if (type.trim() !== "bytes" || isMalformed || ranges.length > 1) return whole;
  const [range] = ranges;
  if (range !== undefined) return { status: 206, range: { start: range.start, end: range.end } };
  // The last bytes of an empty file can be served, and only the whole file can express that.
  return code === 0 ? whole : { status: 416 };
}

/** Whether a list of entity tags, or `*`, names this one. */
function namesTag(
  list: string,
  etag: string,
  isMatch: (candidate: string, etag: string) => boolean,
): boolean {
  if (list.trim() === "*") return true;
  return (list.match(/(W\/)?"[^"]*"/g) ?? []).some((candidate) => isMatch(candidate, etag));
}

function isSame(candidate: string, etag: string): boolean {
  return candidate === etag;
}

function isSameWeakly(candidate: string, etag: string): boolean {
  return candidate === etag || candidate === `W/${etag}`;
}
