import { type Command, Option } from "commander";
import { clientSettings } from "../config/client-settings.ts";
import type { ServerFlags } from "./connection.ts";
import type { Environment } from "./io.ts";

/** Adds the options that say which server a command calls, and as whom. */
export function addServerOptions(command: Command): void {
  for (const { usage, variable, help, default: value } of clientSettings) {
    if (usage === undefined) continue;
    const facts = [
      ...(value === undefined ? [] : [`default: ${JSON.stringify(value)}`]),
      ...(variable === undefined ? [] : [`env: ${variable}`]),
    ];
    command.addOption(new Option(usage, facts.length === 0 ? help : `${help} (${facts.join(", ")})`));
  }
}

/**
 * Values of the flags, else of the variables. A flag also wins over the variable of other credentials, and of a file
 * that holds the same ones.
 */
export function serverFlags(command: Command, environment: Environment): ServerFlags {
  const options: Readonly<Record<string, string | undefined>> = command.opts();
  const flags: Partial<Record<keyof ServerFlags, string | undefined>> = {};
  for (const { name, variable, default: value } of clientSettings) {
    flags[name] = (options[name] ?? (variable && environment[variable])) || value;
  }
  const token = [options.token, options.tokenFile].some((option) => option !== undefined);
  if (token || options.user !== undefined)
    [flags.token, flags.tokenFile] = [options.token, options.tokenFile];
  if (token && options.user === undefined) flags.user = undefined;
  if (options.passwordFile !== undefined) flags.password = undefined;
  return flags as ServerFlags;
}
