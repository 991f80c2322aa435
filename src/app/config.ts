import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type ConfigSources, loadConfig } from "../config/load.ts";
import type { Config } from "../config/settings.ts";
import { checkBackendUrl } from "../stores/open.ts";

const exampleLibrary = fileURLToPath(new URL("../../examples/library", import.meta.url));

/** Reads the configuration of the service. In a checkout its content is the example library unless set. @throws ConfigError */
export function readConfig(flags: ConfigSources["flags"], environment: ConfigSources["environment"]): Config {
  const defaultContentRoot = existsSync(exampleLibrary) ? exampleLibrary : undefined;
  return loadConfig({ flags, environment, defaultContentRoot, checkRedisUrl: checkBackendUrl });
}
