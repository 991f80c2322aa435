import { Agent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { createSecureContext } from "node:tls";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { FileService } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ItemFileService } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";
import { boundedTransport } from "./bounded-transport.ts";
import { LoginSession, withLoginSession } from "./login-session.ts";
import { type Proxies, readProxies } from "./proxy.ts";

/** The address of a server, and the credentials of its caller. */
export interface ServerOptions {
  /** `http://` or `https://`, with a base path if the service has one. */
  readonly url: string;
  /** A bearer token. */
  readonly token?: string;
  /** With `password`, instead of `token`: the first call opens a login session. */
  readonly user?: string;
  readonly password?: string;
  /** Id of an open login session, instead of `token` or `user`. It is left open. */
  readonly loginSessionId?: string;
  /** PEM: the certificate authorities to trust instead of the well-known ones. */
  readonly ca?: string | Buffer;
  /** PEM, with `key`: the certificate of the client. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /**
   * Variables that name proxies: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in upper or lower case. By default those of
   * the process; an empty object for none.
   */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>>;
}

/** TLS options as `node:tls` takes them. */
export type TlsOptions = Pick<ServerOptions, "ca" | "cert" | "key">;

/**
 * Clients for the services of a server, over the Connect protocol and HTTP/1.1. Calls reject with a `ConnectError`,
 * also when an answer is too large: over 4 MiB for a list, 1 MiB for anything else. Bidirectional streams need HTTP/2 and are unavailable here.
 *
 * Disposing of it closes the login session and the connections.
 */
export interface Downlease extends AsyncDisposable {
  readonly url: string;
  /** For download links, which are fetched without these clients. */
  readonly tls: TlsOptions;
  /** For these, too. */
  readonly proxies: Proxies;
  readonly sessions: Client<typeof DownloadSessionService>;
  readonly files: Client<typeof FileService>;
  readonly libraries: Client<typeof LibraryService>;
  readonly items: Client<typeof ItemService>;
  readonly itemFiles: Client<typeof ItemFileService>;
  readonly logins: Client<typeof SessionService>;
}

/**
 * Creates clients for a server. Nothing is sent before the first call.
 *
 * @throws TypeError if the options contradict each other or `url` is invalid
 */
export function connect(options: ServerOptions): Downlease {
  const { url, tls } = validate(options);
  const { token, user, password, loginSessionId } = options;
  const proxies = readProxies(options.proxyEnv);
  const connection = { keepAlive: true, proxyEnv: proxies };
  const agent = url.startsWith("https:") ? new TlsAgent({ ...connection, ...tls }) : new Agent(connection);
  const transportWith = (interceptors: Interceptor[]) =>
    boundedTransport({ httpVersion: "1.1", baseUrl: url, interceptors, nodeOptions: { agent } });
  const login =
    user === undefined || password === undefined
      ? undefined
      : new LoginSession(createClient(SessionService, transportWith([])), { user, password });
  const interceptors = [
    ...(token === undefined ? [] : [withToken(token)]),
    ...(login === undefined ? [] : [login.interceptor]),
    ...(loginSessionId === undefined ? [] : [withLoginSession(loginSessionId)]),
  ];
  const transport = transportWith(interceptors);
  return {
    url,
    tls,
    proxies,
    sessions: createClient(DownloadSessionService, transport),
    files: createClient(FileService, transport),
    libraries: createClient(LibraryService, transport),
    items: createClient(ItemService, transport),
    itemFiles: createClient(ItemFileService, transport),
    logins: createClient(SessionService, transport),
    async [Symbol.asyncDispose]() {
      await login?.close();
      agent.destroy();
    },
  };
}

function withToken(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

function validate({ url, token, user, password, loginSessionId, ca, cert, key }: ServerOptions) {
  const parsed = parseUrl(url);
  if (parsed.username !== "" || parsed.password !== "") {
    throw new TypeError("the URL of a server must not contain a user and password; pass them as options");
  }
  if (parsed.search !== "" || parsed.hash !== "") {
    throw new TypeError("the URL of a server must not have a query or a fragment");
  }
  if ((user === undefined) !== (password === undefined)) {
    throw new TypeError("user and password must be set together");
  }
  if (user !== undefined && token !== undefined) {
    throw new TypeError("set either a token, or user and password");
  }
  if (loginSessionId !== undefined && (user !== undefined || token !== undefined)) {
    throw new TypeError("set either a login session, or other credentials");
  }
  if ((cert === undefined) !== (key === undefined)) throw new TypeError("cert and key must be set together");
  const tls: TlsOptions = {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
  requireUsable(tls);
  return { url: parsed.href.replace(/\/+$/, ""), tls };
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

/** Otherwise each call would fail, and for an authority without a certificate as if the option were missing. */
function requireUsable({ ca, cert, key }: TlsOptions): void {
  if (ca !== undefined && !/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/.test(ca.toString())) {
    throw new TypeError("ca has no certificate (PEM)");
  }
  for (const [names, options] of [
    ["ca", { ca }],
    ["cert and key", { cert, key }],
  ] as const) {
    try {
      createSecureContext(options);
    } catch (error) {
      throw new TypeError(`${names} can't be used: ${(error as Error).message}`, { cause: error });
    }
  }
}
