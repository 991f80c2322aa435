import type { IncomingHttpHeaders } from "node:http";
import { parseCookie } from "cookie";

/** What a caller shows to tell who it is. Nothing of it may get into a log or an answer. */
export interface Credentials {
  /** As in the `Authorization` header: a scheme and what belongs to it. */
  readonly authorization: string | undefined;
  /** Identifier of a login session. */
  readonly loginId: string | undefined;
}

/** Name of the header, and of the cookie, that carries the identifier of a login session. */
export const loginHeader = "vmware-api-session-id";

/** Asks for it. */
export const loginChallenge = `${loginHeader} realm="downlease"`;

/** The credentials that come as headers, read when somebody asks. */
export class HeaderCredentials implements Credentials {
  readonly #headers: IncomingHttpHeaders;

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers;
  }

  get authorization(): string | undefined {
    return this.#headers.authorization;
  }

  /** The header counts before the cookie: it is what a program says, and what no other site can make a browser send. */
  get loginId(): string | undefined {
    const header = this.#headers[loginHeader];
    if (header !== undefined) return String(header);
    const { cookie } = this.#headers;
    if (cookie === undefined || !isOfOwnPage(this.#headers)) return undefined;
    return parseCookie(cookie)[loginHeader];
  }
}

/**
 * Whether a request comes from a page of our own origin or from no page at all. A browser adds cookies to what pages
 * of others make it send, too: the cookie's SameSite keeps out other sites, but not their neighbours on other ports
 * and subdomains. Browsers that do not send `Sec-Fetch-Site`, as none does in clear text, tell by `Origin`.
 */
function isOfOwnPage(headers: IncomingHttpHeaders): boolean {
  const { "sec-fetch-site": site, origin } = headers;
  if (site !== undefined) return site === "same-origin" || site === "none";
  if (origin === undefined) return true;
  const from = URL.parse(origin);
  const host = headers[":authority"] ?? headers.host;
  // The scheme of the origin decides on the port that goes without saying: TLS may end at a proxy.
  return from !== null && URL.parse(`${from.protocol}//${host}`)?.host === from.host && from.host !== "";
}
