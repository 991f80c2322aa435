import { type Command, Option } from "commander";
import { clientSettings } from "../config/client-settings.ts";
import type { ServerFlags } from "./connection.ts";

/** Gives a command the options that say which server it calls, and as whom. */
export function addServerOptions(command: Command): void {
  for (const { usage, variable, help, default: value } of clientSettings) {
    if (usage === undefined) continue;
    const option = new Option(usage, help);
    if (variable !== undefined) option.env(variable);
    if (value !== undefined) option.default(value);
    command.addOption(option);
  }
}

/** As they were given. A flag also wins over the variable of another one that would contradict it. */
export function serverFlags(command: Command): ServerFlags {
  const flags = Object.fromEntries(
    clientSettings.map(({ name, default: value }) => [name, command.getOptionValue(name) || value]),
  );
  const isFromVariable = (name: string) => command.getOptionValueSource(name) === "env";
  const isFlag = (name: string) => command.getOptionValueSource(name) === "cli";
  if (isFlag("token") && isFromVariable("user")) flags.user = undefined;
  if (isFlag("user") && isFromVariable("token")) flags.token = undefined;
  return flags;
}
