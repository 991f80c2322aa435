import { isIP, SocketAddress } from "node:net";
import parseForwarded from "forwarded-parse";
import type { Call } from "./call.ts";
import { copyOf } from "./text-copy.ts";

type Headers = Call["headers"];

/** The elements of `Forwarded` (RFC 7239), the nearest proxy's last; undefined without any, or when it is malformed. */
export function forwardedElements({ forwarded }: Headers): Record<string, string>[] | undefined {
  const text = textOf(forwarded);
  if (text === undefined) return undefined;
  try {
    const elements = parseForwarded(text);
    return elements.length === 0 ? undefined : elements;
  } catch {
    return undefined;
  }
}

/** Whether a proxy says that it has passed the request on, trusted or not. */
export function isForwarded(headers: Headers): boolean {
  return Object.keys(headers).some((name) => proxyHeaders.has(name) || name.startsWith("x-forwarded-"));
}

const proxyHeaders = new Set(["forwarded", "via", "x-real-ip"]);

const maxKeptLength = 1000;

/** A copy of the headers that name the client of a stream, which keeps no others; empty when they are too long. */
export function keptHeaders({ forwarded, "x-forwarded-for": other }: Headers): Headers {
  const [standard = "", list = ""] = [textOf(forwarded), textOf(other)];
  if (standard.length + list.length > maxKeptLength) return {};
  return {
    ...(standard !== "" && { forwarded: copyOf(standard) }),
    ...(list !== "" && { "x-forwarded-for": copyOf(list) }),
  };
}

/** The entries of a header that is a list, the nearest proxy's last; undefined without the header. */
export function entriesOf(header: string | string[] | undefined): string[] | undefined {
  const text = textOf(header)?.trim();
  return text ? text.split(",").map((entry) => entry.trim()) : undefined;
}

/** The value of a header; lines are joined to one list. */
export function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(",") : header;
}

/**
 * Index of the entry that counts of a list that each proxy appends to: the one that the outermost trusted proxy has
 * written. Entries before it may be forged.
 *
 * @param nodes whom the proxies had the request from, the nearest proxy's last
 */
export function outermostTrusted(
  nodes: readonly (string | undefined)[],
  isTrusted: (address: string) => boolean,
): number {
  let index = nodes.length - 1;
  while (index > 0 && isTrusted(addressOf(nodes[index]) ?? "")) index--;
  return index;
}

/**
 * The address in an entry of `X-Forwarded-For` or a node identifier (RFC 7239, section 6), for example of
 * `"[2001:db8::1]:4711"`, in its canonical form; undefined when it is none, such as `unknown`.
 */
export function addressOf(node = ""): string | undefined {
  const [, bracketed] = /^\[(.*)\](?::[\w.-]+)?$/.exec(node) ?? [];
  const address = bracketed ?? (isIP(node) === 6 ? node : node.replace(/:[\w.-]+$/, ""));
  const version = isIP(address);
  if (version === 0) return undefined;
  return unmapped(new SocketAddress({ address, family: version === 6 ? "ipv6" : "ipv4" }).address);
}

/** An IPv4 address that a socket for both versions writes as an IPv6 address, as IPv4; others as they are. */
export function unmapped(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}
