import parseForwarded from "forwarded-parse";
import type { Call } from "../calls/call.ts";

export interface BaseUrlOptions {
  /** Origin, and a path when links are below one, without a slash at the end; undefined: derived from the request. */
  readonly publicUrl: string | undefined;
  /** Whether the proxy at an address is believed. */
  readonly isTrustedProxy: (address: string) => boolean;
  /** For requests without a host that is valid in a URL. */
  readonly fallback: () => string;
}

type Requester = Pick<Call, "headers" | "connection">;

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
  const standard = fromForwarded(textOf(headers.forwarded), isTrusted);
  const others = fromXForwarded(headers);
  if (standard === undefined || others === undefined) return standard ?? others;
  return standard.scheme === others.scheme && standard.host === others.host ? standard : undefined;
}

/** Each proxy appends an element; elements before those of trusted proxies may be forged. */
function fromForwarded(
  text: string | undefined,
  isTrusted: (address: string) => boolean,
): Origin | undefined {
  if (text === undefined) return undefined;
  let elements: Record<string, string>[];
  try {
    elements = parseForwarded(text);
  } catch {
    return undefined;
  }
  let index = elements.length - 1;
  while (index > 0 && isTrusted(nodeAddress(elements[index]?.for))) index--;
  const { proto, host } = elements[index] ?? {};
  return { scheme: schemeOf(proto), host };
}

/** The last entry of a list counts: the connected proxy has written it. */
function fromXForwarded(headers: Requester["headers"]): Origin | undefined {
  const [proto, host, port] = ["proto", "host", "port"].map((name) =>
    textOf(headers[`x-forwarded-${name}`])?.split(",").at(-1)?.trim(),
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

/** The address in a node identifier (RFC 7239, section 6), for example of `"[2001:db8::1]:4711"`. */
function nodeAddress(node = ""): string {
  const [, bracketed] = /^\[(.*)\](?::\d+)?$/.exec(node) ?? [];
  return bracketed ?? node.replace(/:\d+$/, "");
}

function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(",") : header;
}

const hostAndPort = /^(?:[a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_.])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/i;

/** Undefined when the host is not valid in a URL: clients can send any text. */
function originOf(scheme: string, host: string | undefined): string | undefined {
  if (host === undefined || !hostAndPort.test(host)) return undefined;
  return URL.parse(`${scheme}://${host}`)?.origin;
}
