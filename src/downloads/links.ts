import { createHmac, timingSafeEqual } from "node:crypto";
import type { LinkKey } from "../domain/link-key-store.ts";
import { rolesFrom } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";
import type { LinkKeys } from "./link-keys.ts";

/** What a link gives access to: a file of a session's item, in the content version of the session. */
export interface Link {
  readonly sessionId: string;
  readonly fileName: string;
  readonly contentVersion: string;
}

/** A link as a client sends it, before its signature is verified. */
export interface UnverifiedLink extends Link {
  readonly keyId: string;
  readonly signature: string;
}

/** The caller that a signed link stands for: anyone who holds it may read the session. */
export const linkBearer: Caller = { principal: "bearer of a link", roles: rolesFrom(["admin"]) };

/** The path of all links. */
export const linkRoot = "/download/";

/** Signs and verifies links; keeps the secrets of the keys to itself. */
export class Links {
  readonly #keys: LinkKeys;

  constructor(keys: LinkKeys) {
    this.#keys = keys;
  }

  /** Path and query of a signed link. Rejects with ServiceError when the key is unavailable. */
  async sign(link: Link): Promise<string> {
    return signedPath(link, await this.#keys.signing());
  }

  /**
   * The link that a client has sent; undefined when it is not a link, or not signed with one of our keys. Rejects with
   * ServiceError when the key is unavailable.
   *
   * @param target path and query, without `linkRoot`
   */
  async verify(target: string): Promise<Link | undefined> {
    const link = parseLink(target);
    const key = link && (await this.#keys.find(link.keyId));
    return key && isSignedBy(link, key) ? link : undefined;
  }
}

/** Path and query of a signed link: `/download/{session}/{file}?v={content version}&k={key id}&s={signature}`. */
export function signedPath(link: Link, key: LinkKey): string {
  const { sessionId, fileName, contentVersion } = link;
  const [session, file, version, id] = [sessionId, fileName, contentVersion, key.id].map(encodeURIComponent);
  return `${linkRoot}${session}/${file}?v=${version}&k=${id}&s=${signatureOf(link, key)}`;
}

/**
 * Parses a link; undefined when the target is no link. The query may hold other parameters, as proxies and trackers add
 * them; ours must occur once.
 *
 * @param target path and query, without `linkRoot`
 */
export function parseLink(target: string): UnverifiedLink | undefined {
  const mark = target.indexOf("?");
  const segments = mark < 0 ? [] : target.slice(0, mark).split("/").map(decode);
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

/** Whether the key has signed exactly this link. The time that it takes does not depend on how much of it matches. */
export function isSignedBy(link: UnverifiedLink, key: LinkKey): boolean {
  const signature = Buffer.from(link.signature);
  const expected = Buffer.from(signatureOf(link, key));
  return (
    link.keyId === key.id && signature.length === expected.length && timingSafeEqual(signature, expected)
  );
}

/**
 * HMAC-SHA256 in base64url. Each part is preceded by its length, so that no two links are signed as the same bytes; the
 * first part separates signatures of links from anything else that a key may come to sign.
 */
function signatureOf({ sessionId, fileName, contentVersion }: Link, { id, secret }: LinkKey): string {
  const hmac = createHmac("sha256", secret);
  for (const part of ["downlease-link-1", sessionId, fileName, contentVersion, id]) {
    hmac.update(`${Buffer.byteLength(part)}:${part},`);
  }
  return hmac.digest("base64url");
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
