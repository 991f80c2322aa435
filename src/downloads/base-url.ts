import type { Requester } from "../calls/client-address.ts";
import { entriesOf, forwardedElements, outermostTrusted, textOf } from "../calls/forwarded.ts";

export interface BaseUrlOptions {
  /** Origin, and a path when links are below one, without a slash at the end; undefined: derived from the request. */
  readonly publicUrl: string | undefined;
  /** Whether the proxy at an address is believed. */
  readonly isTrustedProxy: (address: string) => boolean;
  /** For requests without a host that is valid in a URL. */
  readonly fallback: () => string;
}

interface Origin {
  readonly scheme: string | undefined;
  readonly host: string | undefined;
}

/** Derives the URL by which a caller reaches this service, without a slash at the end. */
export function baseUrlFinder({
  publicUrl,
  isTrustedProxy: isTrusted,
  fallback,
}: BaseUrlOptions): (call: Requester) => string {
  if (publicUrl !== undefined) return () => publicUrl;
  return ({ headers, connection }) => {
    const forwarded = isTrusted(connection.peer) ? forwardedOrigin(headers, isTrusted) : undefined;
    const scheme = forwarded?.scheme ?? (connection.isEncrypted ? "https" : "http");
    // In an HTTP/2 request that has both, `host` may be anything.
    const host = forwarded?.host ?? textOf(headers[":authority"]) ?? headers.host;
    return originOf(scheme, host) ?? fallback();
  };
}

/**
 * The origin in `Forwarded` (RFC 7239) or `X-Forwarded-…`. A proxy that writes only one of them passes the other on as
 * the client wrote it; so when both exist and contradict each other, neither counts.
 */
function forwardedOrigin(
  headers: Requester["headers"],
  isTrusted: (address: string) => boolean,
): Origin | undefined {
  const standard = fromForwarded(headers, isTrusted);
  const others = fromXForwarded(headers);
  if (standard === undefined || others === undefined) return standard ?? others;
  return standard.scheme === others.scheme && standard.host === others.host ? standard : undefined;
}

/** Each proxy appends an element; elements before those of trusted proxies may be forged. */
function fromForwarded(
  headers: Requester["headers"],
  isTrusted: (address: string) => boolean,
): Origin | undefined {
  const elements = forwardedElements(headers);
  if (elements === undefined) return undefined;
  const nodes = elements.map((element) => element.for);
  const { proto, host } = elements[outermostTrusted(nodes, isTrusted)] ?? {};
  return { scheme: schemeOf(proto), host };
}

/** The last entry of a list counts: the connected proxy has written it. */
function fromXForwarded(headers: Requester["headers"]): Origin | undefined {
  const [proto, host, port] = ["proto", "host", "port"].map((name) =>
    entriesOf(headers[`x-forwarded-${name}`])?.at(-1),
  );
  if (proto === undefined && host === undefined) return undefined;
  const hasPort = host !== undefined && /:\d*$/.test(host);
  const scheme = schemeOf(proto);
  return { scheme, host: host === undefined || hasPort || port === undefined ? host : `${host}:${port}` };
}

function schemeOf(text: string | undefined): string | undefined {
  const scheme = text?.toLowerCase();
  return scheme === "http" || scheme === "https" ? scheme : undefined;
}

const hostAndPort = /^(?:[a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_.])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/i;

/** Undefined when the host is not valid in a URL: clients can send any text. */
function originOf(scheme: string, host: string | undefined): string | undefined {
  if (host === undefined || !hostAndPort.test(host)) return undefined;
  return URL.parse(`${scheme}://${host}`)?.origin;
}
