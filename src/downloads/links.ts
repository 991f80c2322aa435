import { createHmac, timingSafeEqual } from "node:crypto";
import type { LinkKey } from "../domain/link-key-store.ts";

/** What a link lets its bearer read: a file of a session's item, in the content version that the session is about. */
export interface Link {
  readonly sessionId: string;
  readonly fileName: string;
  readonly contentVersion: string;
}

/** A link as somebody brings it. */
export interface ClaimedLink extends Link {
  readonly keyId: string;
  readonly signature: string;
}

/** Below it are all links. */
export const linkRoot = "/download/";

/** The path of a link and its query, signed: `/download/{session}/{file}?v={content version}&k={key id}&s={signature}`. */
export function signedPath(link: Link, key: LinkKey): string {
  const { sessionId, fileName, contentVersion } = link;
  const [session, file, version, id] = [sessionId, fileName, contentVersion, key.id].map(encodeURIComponent);
  return `${linkRoot}${session}/${file}?v=${version}&k=${id}&s=${signature(link, key)}`;
}

/**
 * What a link claims, or undefined when it is no link. Other parameters may stand in the query, as proxies and trackers
 * add them; ours stand there once.
 *
 * @param target path and query, from behind `/download/` on
 */
export function readLink(target: string): ClaimedLink | undefined {
  const mark = target.indexOf("?");
  const segments = mark < 0 ? [] : target.slice(0, mark).split("/").map(decoded);
  const [sessionId, fileName] = segments;
  if (segments.length !== 2 || !sessionId || !fileName) return undefined;
  const query = new URLSearchParams(target.slice(mark + 1));
  const [contentVersion, keyId, signature] = ["v", "k", "s"].map((name) => {
    const [value, ...more] = query.getAll(name);
    return more.length === 0 ? value : undefined;
  });
  if (contentVersion === undefined || keyId === undefined || signature === undefined) return undefined;
  return { sessionId, fileName, contentVersion, keyId, signature };
}

/** Whether the key has signed just this link. Takes as long for a signature that is nearly right. */
export function isSignedBy(link: ClaimedLink, key: LinkKey): boolean {
  const given = Buffer.from(link.signature);
  const right = Buffer.from(signature(link, key));
  return link.keyId === key.id && given.length === right.length && timingSafeEqual(given, right);
}

/**
 * HMAC-SHA256 in base64url. Each part is preceded by its length, so that no two links are signed as the same bytes; the
 * first part keeps signatures apart from whatever else a key may come to sign.
 */
function signature({ sessionId, fileName, contentVersion }: Link, { id, secret }: LinkKey): string {
  const hmac = createHmac("sha256", secret);
  for (const part of ["downlease-link-1", sessionId, fileName, contentVersion, id]) {
    hmac.update(`${Buffer.byteLength(part)}:${part},`);
  }
  return hmac.digest("base64url");
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
