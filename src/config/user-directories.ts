import { isAbsolute, join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The list of servers, in the directory for the configuration of this user (XDG Base Directory Specification; `%APPDATA%`
 * on Windows). It may not exist. Undefined when the environment names no directory.
 */
export function serverListPath(environment: Environment, platform = process.platform): string | undefined {
  return below("servers.json", environment, platform, "XDG_CONFIG_HOME", "APPDATA", ".config");
}

/** The directory of saved logins, with the data that commands keep between runs (`%LOCALAPPDATA%` on Windows). */
export function loginsDirectory(environment: Environment, platform = process.platform): string | undefined {
  return below("logins", environment, platform, "XDG_STATE_HOME", "LOCALAPPDATA", join(".local", "state"));
}

function below(
  name: string,
  environment: Environment,
  platform: NodeJS.Platform,
  variable: string,
  windowsVariable: string,
  folderOfHome: string,
): string | undefined {
  const { HOME } = environment;
  const base = [
    environment[variable],
    platform === "win32" ? environment[windowsVariable] : HOME && join(HOME, folderOfHome),
  ].find((path) => path && isAbsolute(path));
  return base && join(base, "downlease", name);
}
