import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type ConfigFile, findConfigFile } from "../config/config-file.ts";
import { type ConfigSources, loadConfig } from "../config/load.ts";
import type { Config } from "../config/settings.ts";
import { checkBackendUrl } from "../stores/open.ts";

const exampleLibrary = fileURLToPath(new URL("../../examples/library", import.meta.url));

/** Reads the configuration of the service, see `withConfigFile`. In a checkout its content is the example library unless set. @throws ConfigError */
export function readConfig(
  flags: ConfigSources["flags"],
  environment: ConfigSources["environment"],
  file?: ConfigFile,
): Config {
  const defaultContentRoot = existsSync(exampleLibrary) ? exampleLibrary : undefined;
  return loadConfig({ flags, environment, file, defaultContentRoot, checkRedisUrl: checkBackendUrl });
}

/** Adds the configuration file that a flag or a variable names. */
export async function withConfigFile(named: Omit<ConfigSources, "file">): Promise<ConfigSources> {
  return { ...named, file: await findConfigFile(named) };
}
