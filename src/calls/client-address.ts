import { isIPv6 } from "node:net";
import type { Call } from "./call.ts";
import { addressOf, entriesOf, forwardedElements, outermostTrusted, unmapped } from "./forwarded.ts";

/** What the address of a client is read from: a call, or a request for a file. */
export type Requester = Pick<Call, "connection" | "headers">;

/** The address of a client, behind any trusted proxies; a closed connection has none and gives an empty text. */
export type ClientAddressOf = (requester: Requester) => string;

/**
 * Makes the function that finds the address of a client: that of the connection or, if it is a trusted proxy's, the last
 * one in `Forwarded` (RFC 7239) or `X-Forwarded-For` that is not a trusted proxy's. Where a proxy hides an address, the
 * proxy's own counts.
 *
 * A proxy that writes only one of the headers passes the other on as the client wrote it; so when both name an address
 * and contradict each other, neither counts.
 *
 * Costs a look at a list of networks for each call through a proxy: no routine call asks for it.
 */
export function clientAddressFinder(isTrusted: (address: string) => boolean): ClientAddressOf {
  /** @param nodes whom the proxies had the request from, the nearest proxy's last */
  const lastIn = (nodes: readonly (string | undefined)[], peer: string): string => {
    const index = outermostTrusted(nodes, isTrusted);
    return addressOf(nodes[index]) ?? addressOf(nodes[index + 1]) ?? peer;
  };
  return ({ connection, headers }) => {
    const peer = unmapped(connection.peer);
    if (!isTrusted(connection.peer)) return peer;
    const standard = forwardedElements(headers)?.map((element) => element.for);
    const other = entriesOf(headers["x-forwarded-for"]);
    const named = [standard, other].flatMap((nodes) => (nodes?.at(-1) ? [lastIn(nodes, peer)] : []));
    return named.every((address) => address === named[0]) ? (named[0] ?? peer) : peer;
  };
}

/** An IPv4 address, or the first 64 bits of an IPv6 address: one client can use all addresses below them. */
export function networkOf(address: string): string {
  const plain = unmapped(address);
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = plain.split("::");
  const groups = head === "" ? [] : head.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(":").length;
  const all = [...groups, ...Array<string>(Math.max(0, zeros)).fill("0"), ...(tail?.split(":") ?? [])];
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group || "0", 16).toString(16))
    .join(":");
}
