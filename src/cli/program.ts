import { Command, CommanderError } from "commander";
import { program as downlease } from "../config/program.ts";
import { withJson } from "./command-parts.ts";
import { addClientCommands } from "./commands.ts";
import { exitCodes } from "./exit-codes.ts";
import { type Io, OutputWatch } from "./io.ts";
import { LazyCommand, loadOptions } from "./lazy-command.ts";
import { optionsOf } from "./server-options.ts";
import { usageMessage } from "./usage-message.ts";
import { addUsersCommands } from "./users/users.ts";

const { version } = downlease;

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
    .version(version, "-v, --version", "print the version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(usageMessage(text)),
      getOutHelpWidth: () => io.stdout.columns,
      getErrHelpWidth: () => io.stderr.columns,
    });
  const output = new OutputWatch(io);
  let isServing = false;
  const serve = new LazyCommand("serve", async (command) => {
    const { addSettings } = await import("./serve.ts");
    addSettings(command);
  })
    .copyInheritedSettings(program)
    .description("serve download sessions over gRPC, Connect, gRPC-Web and REST")
    .addHelpText(
      "after",
      "\nEvery flag is also a variable: --lease-seconds is DOWNLEASE_LEASE_SECONDS. The flag wins.",
    )
    .action(async (flags) => {
      await (await import("./serve.ts")).serve({ flags, environment: io.environment });
      isServing = true;
    });
  program.addCommand(serve).hook("preSubcommand", (_, command) => loadOptions(command));
  addClientCommands(program, io);
  addUsersCommands(program, io);
  addVersionCommand(program, io);
  addHelpCommand(program);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has written the message. Help and version end here, too, with exit code 0.
    return await output.end(error.exitCode === 0 ? exitCodes.ok.code : exitCodes.usage.code);
  }
  return isServing ? undefined : await output.end(io.exitCode);
}

function addVersionCommand(program: Command, { stdout }: Io): void {
  withJson(program.command("version"))
    .description("print the version")
    .action((_, command: Command) => {
      stdout.write(
        `${optionsOf(command).json ? JSON.stringify({ version, node: process.version }) : version}\n`,
      );
    });
}

/** As Commander's own, which does not load options. */
function addHelpCommand(program: Command): void {
  program
    .command("help [command]")
    .description("display help for command")
    .allowExcessArguments()
    .action(async (name?: string) => {
      const command = name === undefined ? program : program.commands.find((each) => each.name() === name);
      await loadOptions(command);
      if (command === undefined) program.help({ error: true });
      command.help();
    });
}
