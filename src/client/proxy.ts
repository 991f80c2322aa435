import type { ProxyEnv } from "node:http";

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The proxies for the agents of `node:http` and `node:https`. */
export type Proxies = Readonly<Pick<ProxyEnv, "http_proxy" | "https_proxy" | "no_proxy">>;

/**
 * Reads the proxies that an environment names: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in upper or lower case.
 *
 * @param environment that of the process by default
 * @throws TypeError for a proxy of another kind than HTTP; the message does not have its password
 */
export function readProxies(environment: Environment = process.env): Proxies {
  const noProxy = variable("no_proxy", environment);
  return {
    ...proxyOf("http_proxy", environment),
    ...proxyOf("https_proxy", environment),
    ...(noProxy !== undefined && { no_proxy: noProxy }),
  };
}

function proxyOf(name: "http_proxy" | "https_proxy", environment: Environment): Proxies {
  const value = variable(name, environment);
  if (value === undefined) return {};
  // Many programs take a host and a port.
  const url = value.includes("://") ? value : `http://${value}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new TypeError(
      `${name.toUpperCase()} must be the URL of an HTTP proxy, such as http://proxy.example:3128`,
    );
  }
  return { [name]: url };
}

/** An empty variable is unset. */
function variable(name: string, environment: Environment): string | undefined {
  return environment[name] || environment[name.toUpperCase()] || undefined;
}
