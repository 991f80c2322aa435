import { lookup } from "node:dns";
import { lookup as lookupAll } from "node:dns/promises";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** A URL on the way from a link to its file. */
export interface Hop {
  readonly url: URL;
  /** Whether it is on another host, to which the host of the link has redirected: the storage of the server. */
  readonly isStorage: boolean;
}

/** A server must not be able to send its clients there. The message is safe to print. */
export class OwnAddressError extends Error {
  override readonly name = "OwnAddressError";

  constructor(host: string) {
    super(`the link leads to ${host}, an address of this machine, but the server is elsewhere`);
  }
}

/** Addresses that mean something else on each machine: itself, its own network, and its provider's metadata. */
const ownAddresses = new BlockList();
for (const [address, prefix] of [
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["100.100.100.200", 32],
] as const) {
  ownAddresses.addSubnet(address, prefix);
}
for (const [address, prefix] of [
  ["::", 127],
  ["fe80::", 10],
  ["fd00:ec2::", 32],
] as const) {
  ownAddresses.addSubnet(address, prefix, "ipv6");
}

/**
 * Where the links of a server may lead. A link may be on any host, which may redirect within itself, and once to the
 * storage, which is on any other host. There is no way from TLS to clear text, and none to this machine, unless the server
 * is there.
 */
export class LinkHops {
  readonly #server: URL;
  #isServerHere: Promise<boolean> | undefined;

  /** @param server URL of the server */
  constructor(server: string) {
    this.#server = new URL(server);
  }

  /** The link itself, or why it is refused. */
  first(link: string): Hop | string {
    if (!URL.canParse(link)) return "the link is not an HTTP URL";
    const url = new URL(link);
    const problem = problemOf(url);
    if (problem !== undefined) return `the link ${problem}`;
    if (url.protocol === "http:" && this.#server.protocol === "https:") {
      return "the link does not use TLS, but the server's URL does";
    }
    return { url, isStorage: false };
  }

  /** Where a redirect leads, or why it is refused. */
  next({ url: from, isStorage }: Hop, location: string | undefined): Hop | string {
    if (location === undefined || !URL.canParse(location, from.href)) return "the link redirects to nowhere";
    const url = new URL(location, from);
    const problem = problemOf(url);
    if (problem !== undefined) return `the link redirects to a URL that ${problem}`;
    if (url.protocol === "http:" && from.protocol === "https:") {
      return "the link redirects from TLS to clear text";
    }
    const isUpgrade =
      from.protocol === "http:" && url.protocol === "https:" && from.hostname === url.hostname;
    if (url.origin === from.origin || isUpgrade) return { url, isStorage };
    return isStorage
      ? "the link redirects to a host that redirects to a third one"
      : { url, isStorage: true };
  }

  /** @throws OwnAddressError if the host is an address that the server must not name */
  async checkAddress({ hostname }: URL): Promise<void> {
    const address = withoutBrackets(hostname);
    if (hostname === this.#server.hostname || isIP(address) === 0 || !isOwnAddress(address)) return;
    if (!(await this.#serverIsHere())) throw new OwnAddressError(address);
  }

  /** How the name of a host is resolved; fails with OwnAddressError if all addresses are such. */
  lookupOf({ hostname: host }: URL): LookupFunction | undefined {
    if (host === this.#server.hostname) return undefined;
    return (hostname, options, callback) => {
      // The name of a proxy is the user's choice.
      if (hostname !== host) return lookup(hostname, options, callback);
      lookup(hostname, { ...options, all: true }, async (error, addresses) => {
        if (error !== null) return callback(error, "");
        const others = addresses.filter(({ address }) => !isOwnAddress(address));
        const isFree = others.length === addresses.length || (await this.#serverIsHere());
        const [first, ...more] = isFree ? addresses : others;
        if (first === undefined) return callback(new OwnAddressError(host), "");
        if (options.all === true) callback(null, [first, ...more]);
        else callback(null, first.address, first.family);
      });
    };
  }

  /** Whether the user has named this machine. */
  #serverIsHere(): Promise<boolean> {
    const host = withoutBrackets(this.#server.hostname);
    this.#isServerHere ??= lookupAll(host, { all: true }).then(
      (addresses) => addresses.some(({ address }) => isOwnAddress(address)),
      () => false,
    );
    return this.#isServerHere;
  }
}

/** The host of a URL; an address of IPv6 has brackets there. */
function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function isOwnAddress(address: string): boolean {
  return ownAddresses.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

/** As the end of a sentence. */
function problemOf({ protocol, username, password }: URL): string | undefined {
  if (protocol !== "https:" && protocol !== "http:") return "is not an HTTP URL";
  return username + password === "" ? undefined : "has a user or a password";
}
