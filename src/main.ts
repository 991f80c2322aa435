#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { Command, CommanderError, Option } from "commander";
import { type App, readConfig, StartError, startApp } from "./app.ts";
import { ConfigError, type ConfigSources } from "./config/load.ts";
import { settings } from "./config/settings.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

const program = new Command("downlease")
  .description("Content Library download sessions as a service")
  .version(version)
  .exitOverride();

const serveCommand = program
  .command("serve")
  .description("serve download sessions over gRPC, Connect, gRPC-Web and REST")
  .addHelpText(
    "after",
    "\nEvery flag is also a variable: --lease-seconds is DOWNLEASE_LEASE_SECONDS. The flag wins.",
  )
  .action(serve);
for (const { flag, argument, help, default: value } of settings) {
  serveCommand.addOption(new Option(`${flag} <${argument}>`, `${help} (default: ${value})`));
}

try {
  await program.parseAsync();
} catch (error) {
  process.exit(report(error));
}

/** Resolves when the service is up; it ends with the process. */
async function serve(flags: ConfigSources["flags"]): Promise<void> {
  const config = readConfig(flags, process.env);
  let app: App | undefined;
  let isStopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (app === undefined || isStopping) process.exit(128 + constants.signals[signal]);
      isStopping = true;
      // A stop that fails is a bug: unhandled, it ends the process with a stack and exit code 1.
      void app.stop().then(() => process.exit(0));
    });
  }
  app = await startApp(config);
}

/** Tells the user what went wrong, and gives the exit code: 2 for their mistakes, 1 for the surroundings. */
function report(error: unknown): number {
  // Commander has told already; help and version arrive here, too, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\nSee downlease serve --help.\n`);
    return 2;
  }
  if (error instanceof StartError) {
    process.stderr.write(`downlease can't start: ${error.message}\n`);
    return 1;
  }
  throw error;
}
