/** Who calls a server: at most one of a token, a user and a login session. */
export interface Credentials {
  /** A bearer token. */
  readonly token?: string;
  /** With `password`, instead of `token`: the first call opens a login session. */
  readonly user?: string;
  readonly password?: string;
  /** Id of an open login session, instead of `token` or `user`. It is left open. */
  readonly loginSessionId?: string;
}

/** @throws TypeError if the credentials contradict each other */
export function checkCredentials({ token, user, password, loginSessionId }: Credentials): void {
  if ((user === undefined) !== (password === undefined)) {
    throw new TypeError("user and password must be set together");
  }
  if (user !== undefined && token !== undefined) {
    throw new TypeError("set either a token, or user and password");
  }
  if (loginSessionId !== undefined && (user !== undefined || token !== undefined)) {
    throw new TypeError("set either a login session, or other credentials");
  }
}

/** The URL of a server without a slash at its end. @throws TypeError if it is not one */
export function serverUrl(text: string): string {
  const url = parseUrl(text);
  if (url.username !== "" || url.password !== "") {
    throw new TypeError("the URL of a server must not contain a user and password; pass them as options");
  }
  if (url.search !== "" || url.hash !== "") {
    throw new TypeError("the URL of a server must not have a query or a fragment");
  }
  return url.href.replace(/\/+$/, "");
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  // `host:port` may look like a scheme.
  if (!text.includes("://")) {
    const guess = `${/:443(?:\/|$)/.test(text) ? "https" : "http"}://${text}`;
    const hint = URL.canParse(guess) ? `; did you mean ${guess}?` : "";
    // What stands before an @ may be a password.
    throw new TypeError(
      text.includes("@") ? "the URL of the server is not a URL" : `'${text}' is not a URL${hint}`,
    );
  }
  throw new TypeError(
    url === undefined
      ? "the URL of the server is not a URL"
      : `the URL of a server must begin with http:// or https://, not '${url.protocol}//'`,
  );
}
