#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { endOnBrokenPipe } from "./cli/broken-pipe.ts";
import { addClientCommands } from "./cli/program.ts";
import { addUsersCommands } from "./cli/users/users.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

endOnBrokenPipe();

const program = new Command("downlease")
  .description("Content Library download sessions as a service, and its client")
  .version(version)
  .exitOverride();

const serveCommand = program
  .command("serve")
  .description("serve download sessions over gRPC, Connect, gRPC-Web and REST")
  .addHelpText(
    "after",
    "\nEvery flag is also a variable: --lease-seconds is DOWNLEASE_LEASE_SECONDS. The flag wins.",
  )
  .action(async (flags) => (await import("./cli/serve.ts")).serve({ flags, environment: process.env }));
// The service takes long to load, and nothing else needs its settings.
if (process.argv.includes("serve")) (await import("./cli/serve.ts")).addSettings(serveCommand);
addClientCommands(program, process.env);
addUsersCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Commander has told already; help and version arrive here, too, with exit code 0.
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
