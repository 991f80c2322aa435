import { isIPv6 } from "node:net";
import { wholeNumber, wholeNumberRule } from "./numbers.ts";
import { isServiceLink } from "./service-links.ts";

/** The settings of a service that say where it listens, and where they come from. */
export interface ListeningSources {
  /** By the names of settings. */
  readonly flags: { readonly host?: string; readonly port?: string; readonly config?: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What is wrong with where the service listens. */
export class OwnUrlError extends Error {
  override readonly name = "OwnUrlError";
}

type Name = "host" | "port" | "tlsCert";

const variables: Readonly<Record<Name, string>> = {
  host: "DOWNLEASE_HOST",
  port: "DOWNLEASE_PORT",
  tlsCert: "DOWNLEASE_TLS_CERT",
};

const everyAddress: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/**
 * The URL at which this machine reaches a service that runs with these settings. It loads and checks the other settings
 * only for a configuration file, because that takes longer than a service takes to answer.
 *
 * @throws OwnUrlError
 */
export async function ownUrl(sources: ListeningSources): Promise<string> {
  const { flags, environment } = sources;
  const file = await textsInFile(sources);
  const text = (name: Name) => {
    const variable = environment[variables[name]] || undefined;
    const own = variable && isServiceLink(variables[name], variable) ? undefined : variable;
    return (name === "tlsCert" ? undefined : flags[name]) ?? own ?? file(name);
  };
  const address = text("host") ?? "127.0.0.1";
  const host = everyAddress[address] ?? address;
  const port = wholeNumber(text("port") ?? "8080", 0, 65_535);
  if (port === undefined)
    throw new OwnUrlError(`the port (--port or DOWNLEASE_PORT) ${wholeNumberRule(0, 65_535)}`);
  if (port === 0) throw new OwnUrlError("the service picks its port (--port 0); name its URL with --url");
  const scheme = text("tlsCert") === undefined ? "http" : "https";
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** The texts of settings in the configuration file, if there is one. */
async function textsInFile({ flags, environment }: ListeningSources) {
  const { config } = flags;
  if (config === undefined && !environment.DOWNLEASE_CONFIG) return () => undefined;
  const { findConfigFile } = await import("./config-file.ts");
  const file = await findConfigFile({ flags: config === undefined ? {} : { config }, environment });
  if (file?.isBroken) throw new OwnUrlError(file.mistakes.join("; "));
  return (name: Name) => file?.values.get(name)?.text;
}
