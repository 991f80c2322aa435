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
    return cookie === undefined ? undefined : parseCookie(cookie)[loginHeader];
  }
}
