import { type Command, Option } from "commander";
import { secondsArgument } from "../command-parts.ts";
import type { Io } from "../io.ts";
import type { HealthFlags } from "./health.ts";

/** Adds the command that asks the service on this machine whether it is ready. */
export function addHealthCommand(program: Command, io: Io): void {
  program
    .command("health")
    .description("ask the service on this machine whether it is ready; exits with 0 or 1")
    .option("--url <url>", "of the service, instead of what follows; the admin address has the answer, too")
    .option("--host <address>", "address that the service listens on (env: DOWNLEASE_HOST)")
    .option("--port <number>", "port that the service listens on (env: DOWNLEASE_PORT)")
    .option("--config <path>", "YAML file with the settings of the service (env: DOWNLEASE_CONFIG)")
    .addOption(
      new Option("--timeout <seconds>", "wait this long for the answer")
        .argParser(secondsArgument)
        .default(2),
    )
    .action(async (flags: HealthFlags) => {
      io.exitCode = await (await import("./health.ts")).printHealth(flags, io);
    });
}
