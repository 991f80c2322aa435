import type { IncomingMessage } from "node:http";

const absolute = /^https?:\/\/([^/?#]*)(.*)$/i;

/**
 * Gives a request whose target is a whole URL, as clients send it to a proxy, the form of any other: its path as target,
 * and the host of the URL in place of the `Host` line (RFC 9112, section 3.2.2).
 */
export function toOriginForm(request: IncomingMessage): void {
  const { url = "" } = request;
  if (url.startsWith("/")) return;
  const [, authority, target = ""] = absolute.exec(url) ?? [];
  if (authority === undefined) return;
  request.url = target.startsWith("/") ? target : `/${target}`;
  request.headers.host = authority;
}
