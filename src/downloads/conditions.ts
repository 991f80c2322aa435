import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { parse as parseRange } from "range-parser";
import type { ByteRange, ContentFile } from "../domain/content-source.ts";
import type { Link } from "./links.ts";

/** What a request for a file comes to, once it is clear that there is one (RFC 9110, sections 13 and 14). */
export type Selection =
  | { readonly status: 200 }
  | { readonly status: 206; readonly range: ByteRange }
  | { readonly status: 304 | 412 | 416 };

const whole: Selection = { status: 200 };

/** A strong validator: other bytes have another one, on every replica. */
export function entityTagOf({ fileName, contentVersion }: Link, { version, size }: ContentFile): string {
  const digest = createHash("sha256").update(JSON.stringify([fileName, contentVersion, version, size]));
  return `"${digest.digest("base64url").slice(0, 27)}"`;
}

/**
 * Holds a request to its conditions and reads its range. Times are no condition here: there is no `Last-Modified`.
 *
 * Several ranges at once are answered with the whole file, as RFC 9110 (14.2) allows: downloaders ask for one, and what
 * asks for many small ones is no downloader.
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
  // What is not just this strong tag, a date for example, asks for the whole.
  if (ifRange !== undefined && ifRange.trim() !== etag) return whole;
  return selectRange(range, size);
}

function selectRange(text: string, size: number): Selection {
  const { code, type, ranges } = parseRange(size, text);
  const isMalformed = (code & 1) !== 0;
  if (type.trim() !== "bytes" || isMalformed || ranges.length > 1) return whole;
  const [range] = ranges;
  if (range !== undefined) return { status: 206, range: { start: range.start, end: range.end } };
  // The last bytes of an empty file are there, and there is no way to tell so but the whole.
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
