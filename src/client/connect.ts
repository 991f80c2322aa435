import { Agent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { createSecureContext } from "node:tls";
import type { Interceptor } from "@connectrpc/connect";
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
  /**
   * Headers of each call and download that continue a trace, such as `traceparent`; called for each of them. With
   * OpenTelemetry: what `propagation.inject(context.active(), headers)` has put into an object.
   */
  readonly traceHeaders?: TraceHeaders;
}

/** Headers by name. */
export type TraceHeaders = () => Readonly<Record<string, string>>;

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
  /** For these, too. */
  readonly traceHeaders?: TraceHeaders | undefined;
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
  const { traceHeaders } = options;
  const common = traceHeaders === undefined ? [] : [withHeaders(traceHeaders)];
  const { clients, logOut } = openClients(
    (own) =>
      boundedTransport({
        httpVersion: "1.1",
        baseUrl: url,
        interceptors: [...common, ...own],
        nodeOptions: { agent },
      }),
    options,
  );
  const close = async () => {
    await logOut();
    agent.destroy();
  };
  return { url, tls, proxies, traceHeaders, ...clients, close, [Symbol.asyncDispose]: close };
}

function withHeaders(headers: TraceHeaders): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers())) request.header.set(name, value);
    return next(request);
  };
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
