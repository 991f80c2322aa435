import { BlockList, isIP } from "node:net";

/** Whether it is an IP address, or a network in CIDR notation. */
export function isAddressRange(text: string): boolean {
  const [address = "", prefix, ...more] = text.split("/");
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 6 ? 128 : 32));
}

/**
 * Makes a function that says whether an address is in one of the ranges.
 *
 * @param ranges as `isAddressRange` accepts them
 */
export function addressMatcher(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", prefix] = range.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return (address) => {
    const version = isIP(address);
    return version !== 0 && list.check(address, version === 6 ? "ipv6" : "ipv4");
  };
}

const isLoopbackAddress = addressMatcher(["127.0.0.0/8", "::1"]);

/** Whether only programs on this machine reach the host. */
export function isLoopback(host: string): boolean {
  return isLoopbackAddress(host) || /^localhost\.?$/i.test(host);
}
