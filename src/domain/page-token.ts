import { createHash } from "node:crypto";
import { ServiceError } from "./errors.ts";

/** Of a cursor and everything around it; a longer text is no token. */
const maxLength = 2_048;
const version = 1;

/**
 * The text by which a caller asks for the next page.
 *
 * @param request what the page is of; the token is valid for an equal one only. It can be written as JSON
 * @param cursor where the page begins
 */
export function pageToken(request: unknown, cursor: string): string {
  return Buffer.from(JSON.stringify([version, digestOf(request), cursor])).toString("base64url");
}

/** The cursor in a token. @throws ServiceError `downlease.page.token` when it is none, or is for another request */
export function cursorIn(token: string, request: unknown): string {
  const [tokenVersion, digest, cursor] = token.length > maxLength ? [] : parse(token);
  if (tokenVersion === version && digest === digestOf(request) && typeof cursor === "string") return cursor;
  throw new ServiceError("downlease.page.token");
}

function parse(token: string): readonly unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    return Array.isArray(parts) ? parts : [];
  } catch {
    return [];
  }
}

function digestOf(request: unknown): string {
  return createHash("sha256").update(JSON.stringify(request)).digest("base64url").slice(0, 16);
}
