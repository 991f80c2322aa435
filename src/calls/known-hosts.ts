import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";

/** Whether a request is for a host that the service is known by. */
export type HostCheck = (headers: IncomingHttpHeaders) => boolean;

/**
 * Checks the host that requests name, `:authority` or `Host`, whatever the port: a page whose name was bound to the
 * address of this service (DNS rebinding) names a host that nobody has given to the service. Addresses and `localhost`
 * are always known, because no DNS answers for them. A request that names none does not come from a browser.
 *
 * @param names as the configuration accepts them: `dl.example`, `*.example` for what is below it, `*` for any
 */
export function hostCheck(names: readonly string[]): HostCheck {
  if (names.includes("*")) return () => true;
  const exact = new Set<string>();
  const suffixes = [".localhost"];
  for (const name of ["localhost", ...names].map(canonical)) {
    if (name.startsWith("*")) suffixes.push(name.slice(1));
    else exact.add(name);
  }
  const isKnown = (authority: string) => {
    const host = hostIn(authority);
    if (host === undefined) return false;
    return isIP(host) !== 0 || exact.has(host) || suffixes.some((suffix) => host.endsWith(suffix));
  };
  // Nearly all requests name the same one, so that a keep-alive costs a comparison of texts.
  let last = "";
  return (headers) => {
    const authority = headers[":authority"] ?? headers.host;
    if (!authority || authority === last) return true;
    // An HTTP/2 request can't repeat it.
    const isFine = typeof authority === "string" && isKnown(authority);
    if (isFine) last = authority;
    return isFine;
  };
}

/** The name or address in an authority; undefined when it is not of that form. */
function hostIn(authority: string): string | undefined {
  const [, address, name] = /^(?:\[([^\]]*)\]|([^:@]*))(?::\d{0,5})?$/.exec(authority) ?? [];
  return name === undefined ? address : canonical(name);
}

/** Case does not count, nor does the dot after the last label. */
function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
