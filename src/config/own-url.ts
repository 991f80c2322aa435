import { isIPv6 } from "node:net";
import { wholeNumber, wholeNumberRule } from "./numbers.ts";

/** The settings of a service that say where it listens, and where they come from. */
export interface ListeningSources {
  /** By the names of settings; a flag wins over its variable. */
  readonly flags: { readonly host?: string; readonly port?: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What is wrong with where the service listens. */
export class OwnUrlError extends Error {
  override readonly name = "OwnUrlError";
}

const everyAddress: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/**
 * The URL at which this machine reaches a service that runs with these settings. It has no checks of the other
 * settings, because they take longer to load than a service to answer.
 *
 * @throws OwnUrlError
 */
export function ownUrl({ flags, environment }: ListeningSources): string {
  const address = flags.host ?? (environment.DOWNLEASE_HOST || "127.0.0.1");
  const host = everyAddress[address] ?? address;
  const text = flags.port ?? (environment.DOWNLEASE_PORT || "8080");
  const port = wholeNumber(text, 0, 65_535);
  if (port === undefined)
    throw new OwnUrlError(`the port (--port or DOWNLEASE_PORT) ${wholeNumberRule(0, 65_535)}`);
  if (port === 0) throw new OwnUrlError("the service picks its port (--port 0); name its URL with --url");
  const scheme = environment.DOWNLEASE_TLS_CERT ? "https" : "http";
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
