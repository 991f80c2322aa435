import { type Command, Option } from "commander";
import { type ClientSetting, clientSettings } from "../config/client-settings.ts";
import type { Environment } from "./io.ts";

/** The server settings of the command line and the variables, unchecked; an empty text is unset. */
export type ServerFlags = Readonly<Partial<Record<ClientSetting["name"], string>>>;

/** Adds the options that say which server a command calls, and as whom. */
export function addServerOptions(
  command: Command,
  settings: readonly ClientSetting[] = clientSettings,
): void {
  for (const { usage, variable, help, default: value } of settings) {
    if (usage === undefined) continue;
    const facts = [
      ...(value === undefined ? [] : [`default: ${JSON.stringify(value)}`]),
      ...(variable === undefined ? [] : [`env: ${variable}`]),
    ];
    const text = facts.length === 0 ? help : `${help} (${facts.join(", ")})`;
    command.addOption(new Option(usage, text).helpGroup("Server options:"));
  }
}

/** Options of a command and of the commands before it, such as `downlease --server URL items`; the last one wins. */
export function optionsOf(command: Command): Readonly<Record<string, unknown>> {
  const before = command.parent === null ? {} : optionsOf(command.parent);
  return { ...before, ...command.opts() };
}

/**
 * Values of the flags, else of the variables. A flag also wins over the variable of other credentials, and of a file
 * that holds the same ones.
 */
export function serverFlags(command: Command, environment: Environment): ServerFlags {
  const options = optionsOf(command) as Readonly<Record<string, string | undefined>>;
  const flags: Partial<Record<keyof ServerFlags, string | undefined>> = {};
  for (const { name, variable } of clientSettings) {
    flags[name] = (options[name] ?? (variable && environment[variable])) || undefined;
  }
  const token = [options.token, options.tokenFile].some((option) => option !== undefined);
  if (token || options.user !== undefined)
    [flags.token, flags.tokenFile] = [options.token, options.tokenFile];
  if (token && options.user === undefined) flags.user = undefined;
  if (options.passwordFile !== undefined) flags.password = undefined;
  return flags as ServerFlags;
}
