import { type HostCheck, hostCheck } from "../calls/known-hosts.ts";
import type { Config } from "../config/settings.ts";

/** The hosts that requests may be for; undefined, any, while callers have to log in. */
export function openHosts(config: Config): HostCheck | undefined {
  return config.auth === "none" ? hostCheck([config.host, ...configuredNames(config)]) : undefined;
}

/** As above, for the admin address, where nobody ever logs in. */
export function openAdminHosts(config: Config, host: string): HostCheck {
  return hostCheck([host, ...configuredNames(config)]);
}

function configuredNames({ publicUrl, allowedHosts }: Config): string[] {
  return publicUrl === undefined ? [...allowedHosts] : [new URL(publicUrl).hostname, ...allowedHosts];
}
