import { Command, CommanderError } from "commander";
import { program as downlease } from "../config/program.ts";
import { localAction, withJson } from "./command-parts.ts";
import { addClientCommands } from "./commands.ts";
import { exitCodes } from "./exit-codes.ts";
import { addHealthCommand } from "./health/command.ts";
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
  const serve = withSettings(program, "serve")
    .description("serve download sessions over gRPC, Connect, gRPC-Web and REST")
    .action(async (flags) => {
      await (await import("./serve.ts")).serve({ flags, environment: io.environment });
      isServing = true;
    });
  const check = withJson(withSettings(program, "check"))
    .description("look at the settings of serve and at all that they name, without serving")
    .action(async (flags) => {
      io.exitCode = await (await import("./check/check.ts")).check(flags, io);
    });
  const backup = withJson(withSettings(program, "backup"))
    .description("copy the SQLite file of serve to another file, also while it is served from")
    .argument("<file>", "the copy, which must not exist")
    .action(localAction(io, async () => (await import("./backup/backup.ts")).backUp));
  for (const command of [serve, check, backup]) program.addCommand(command);
  program.hook("preSubcommand", (_, command) => loadOptions(command));
  addClientCommands(program, io);
  addUsersCommands(program, io);
  addHealthCommand(program, io);
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

/** A command that takes the settings of the service. */
function withSettings(program: Command, name: string): LazyCommand {
  const command = new LazyCommand(name, async (each) => {
    const { addSettings } = await import("./setting-options.ts");
    addSettings(each);
  });
  const sources = [
    "Every flag is also a variable, and a setting of the file that --config names: --lease-seconds",
    "is DOWNLEASE_LEASE_SECONDS and lease-seconds. The flag wins over the variable, the variable over the file.",
  ];
  return command.copyInheritedSettings(program).addHelpText("after", `\n${sources.join("\n")}`);
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
