import { type Command, Option } from "commander";
import { settings } from "../config/settings.ts";

/** Adds every setting of the service as a flag. */
export function addSettings(command: Command): void {
  for (const { usage, alone, help, default: value } of settings) {
    const option = new Option(usage, `${help} (default: ${value})`);
    command.addOption(alone === undefined ? option : option.preset(alone));
  }
}
