import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addClientCommands } from "./commands.ts";
import type { Io } from "./io.ts";
import { addUsersCommands } from "./users/users.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

/**
 * Runs one command line.
 *
 * @param args without the program
 * @returns the exit code; undefined once the service is running, which then ends the process itself
 * @throws anything that is a bug
 */
export async function runCli(args: readonly string[], io: Io): Promise<number | undefined> {
  const program = new Command("downlease")
    .description("Content Library download sessions as a service, and its client")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns,
      getErrHelpWidth: () => io.stderr.columns,
    });
  let isServing = false;
  const serve = program
    .command("serve")
    .description("serve download sessions over gRPC, Connect, gRPC-Web and REST")
    .addHelpText(
      "after",
      "\nEvery flag is also a variable: --lease-seconds is DOWNLEASE_LEASE_SECONDS. The flag wins.",
    )
    .action(async (flags) => {
      await (await import("./serve.ts")).serve({ flags, environment: io.environment });
      isServing = true;
    });
  // The service takes long to load, and no other command needs its settings.
  if (args.includes("serve")) (await import("./serve.ts")).addSettings(serve);
  addClientCommands(program, io);
  addUsersCommands(program, io);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has written the message. Help and version end here, too, with exit code 0.
    return error.exitCode === 0 ? 0 : 2;
  }
  return isServing ? undefined : io.exitCode;
}
