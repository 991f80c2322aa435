import { Agent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { createSecureContext } from "node:tls";
import { boundedTransport } from "./bounded-transport.ts";
import { type Credentials, checkCredentials, serverUrl } from "./credentials.ts";
import { type Proxies, readProxies } from "./proxy.ts";
import { openClients, type ServiceClients } from "./services.ts";

/** The address of a server, and the credentials of its caller. */
export interface ServerOptions extends Credentials {
  /** `http://` or `https://`, with a base path if the service has one. */
  readonly url: string;
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
 */
export interface Downlease extends ServiceClients, AsyncDisposable {
  readonly url: string;
  /** For download links, which are fetched without these clients. */
  readonly tls: TlsOptions;
  /** For these, too. */
  readonly proxies: Proxies;
  /** Closes the login session and the connections, as disposing of it does. */
  close(): Promise<void>;
}

/**
 * Creates clients for a server. Nothing is sent before the first call.
 *
 * @throws TypeError if the options contradict each other or `url` is invalid
 */
export function connect(options: ServerOptions): Downlease {
  const url = serverUrl(options.url);
  checkCredentials(options);
  const tls = checkTls(options);
  const proxies = readProxies(options.proxyEnv);
  const connection = { keepAlive: true, proxyEnv: proxies };
  const agent = url.startsWith("https:") ? new TlsAgent({ ...connection, ...tls }) : new Agent(connection);
  const { clients, logOut } = openClients(
    (interceptors) =>
      boundedTransport({ httpVersion: "1.1", baseUrl: url, interceptors, nodeOptions: { agent } }),
    options,
  );
  const close = async () => {
    await logOut();
    agent.destroy();
  };
  return { url, tls, proxies, ...clients, close, [Symbol.asyncDispose]: close };
}

/** @throws TypeError if they can't be used */
function checkTls({ ca, cert, key }: TlsOptions): TlsOptions {
  if ((cert === undefined) !== (key === undefined)) throw new TypeError("cert and key must be set together");
  const tls: TlsOptions = {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
  requireUsable(tls);
  return tls;
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
