import type { IncomingHttpHeaders } from "node:http";
import { parseCookie } from "cookie";

/**
 * The credentials that a caller sends. They must never get into a log or a response.
 *
 * A browser adds some of them by itself, also to requests that pages of other origins make: the cookie, Basic
 * credentials that the user has typed before, and the client certificate of the connection. They count only under
 * `isOfOwnPage`, which every reader has to ask.
 */
export interface Credentials {
  /** Value of the `Authorization` header: a scheme and its parameters. */
  readonly authorization: string | undefined;
  /** Identifier of a login session that the caller itself has sent. */
  readonly loginId: string | undefined;
  /** Identifier of a login session in the cookie. */
  readonly loginCookie: string | undefined;
  /** Whether they come from the body of the request, where a browser adds nothing. */
  readonly isInBody?: boolean;
}

/** Name of the header, and of the cookie, that carries the identifier of a login session. */
export const loginHeader = "vmware-api-session-id";

/** `WWW-Authenticate` challenge for a login session. */
export const loginChallenge = `${loginHeader} realm="downlease"`;

/** A value in quotes: double ones are allowed (RFC 6265, section 4.1.1), scripts for vSphere also send single ones. */
const quotes = /^(["'])(.*)\1$/;

/** The value of a cookie in the `Cookie` header, without quotes. */
export function cookieIn(header: string | undefined, name: string): string | undefined {
  return header === undefined ? undefined : parseCookie(header)[name]?.replace(quotes, "$2");
}

/** Credentials in request headers, parsed on use. */
export class HeaderCredentials implements Credentials {
  readonly #headers: IncomingHttpHeaders;

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers;
  }

  get authorization(): string | undefined {
    return this.#headers.authorization;
  }

  /** Only programs send it: a page can't add it to a request to another origin without a preflight. */
  get loginId(): string | undefined {
    const header = this.#headers[loginHeader];
    return header === undefined ? undefined : String(header);
  }

  get loginCookie(): string | undefined {
    return cookieIn(this.#headers.cookie, loginHeader);
  }
}

/** Identifier of the login session that counts for a call: the header takes precedence over the cookie. */
export function loginIdOf(credentials: Credentials, headers: IncomingHttpHeaders): string | undefined {
  const { loginId } = credentials;
  if (loginId !== undefined) return loginId;
  const { loginCookie } = credentials;
  return loginCookie !== undefined && isOfOwnPage(headers) ? loginCookie : undefined;
}

/**
 * Whether a request comes from a page of our own origin or from no page at all. SameSite of a cookie keeps out other
 * sites, but not other ports and subdomains of the same site, and nothing of the kind exists for other credentials.
 * Where `Sec-Fetch-Site` is missing, as it always is in clear text, `Origin` decides.
 */
export function isOfOwnPage(headers: IncomingHttpHeaders): boolean {
  const { "sec-fetch-site": site, origin } = headers;
  if (site !== undefined) return site === "same-origin" || site === "none";
  if (origin === undefined) return true;
  const from = URL.parse(origin);
  const host = headers[":authority"] ?? headers.host;
  // The default port follows from the scheme of the origin: TLS may end at a proxy.
  return from !== null && URL.parse(`${from.protocol}//${host}`)?.host === from.host && from.host !== "";
}
