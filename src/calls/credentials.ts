import type { IncomingHttpHeaders } from "node:http";
import { parseCookie } from "cookie";

/** The credentials that a caller sends. They must never get into a log or a response. */
export interface Credentials {
  /** Value of the `Authorization` header: a scheme and its parameters. */
  readonly authorization: string | undefined;
  /** Identifier of a login session. */
  readonly loginId: string | undefined;
}

/** Name of the header, and of the cookie, that carries the identifier of a login session. */
export const loginHeader = "vmware-api-session-id";

/** `WWW-Authenticate` challenge for a login session. */
export const loginChallenge = `${loginHeader} realm="downlease"`;

/** Credentials in request headers, parsed on use. */
export class HeaderCredentials implements Credentials {
  readonly #headers: IncomingHttpHeaders;

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers;
  }

  get authorization(): string | undefined {
    return this.#headers.authorization;
  }

  /** The header takes precedence over the cookie: only programs send it, and no other site can make a browser do so. */
  get loginId(): string | undefined {
    const header = this.#headers[loginHeader];
    if (header !== undefined) return String(header);
    const { cookie } = this.#headers;
    if (cookie === undefined || !isOfOwnPage(this.#headers)) return undefined;
    return parseCookie(cookie)[loginHeader];
  }
}

/**
 * Whether a request comes from a page of our own origin or from no page at all. A browser adds cookies also to requests
 * that pages of other origins make: the cookie's SameSite keeps out other sites, but not other ports and subdomains of
 * the same site. Where `Sec-Fetch-Site` is missing, as it always is in clear text, `Origin` decides.
 */
function isOfOwnPage(headers: IncomingHttpHeaders): boolean {
  const { "sec-fetch-site": site, origin } = headers;
  if (site !== undefined) return site === "same-origin" || site === "none";
  if (origin === undefined) return true;
  const from = URL.parse(origin);
  const host = headers[":authority"] ?? headers.host;
  // The default port follows from the scheme of the origin: TLS may end at a proxy.
  return from !== null && URL.parse(`${from.protocol}//${host}`)?.host === from.host && from.host !== "";
}
