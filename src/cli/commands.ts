import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { secondsAsMs, secondsRule, wholeNumber, wholeNumberRule } from "../config/numbers.ts";
import { shells } from "./completion/shells.ts";
import { exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import type { CommonFlags, Task } from "./run.ts";
import { addServerOptions, serverFlags } from "./server-options.ts";

/** Loads the function that does the work of a command. */
type Load<Flags> = () => Promise<(task: Task<Flags & CommonFlags>) => Promise<void>>;

/**
 * Adds the commands that call a service. This file only describes them: the code that does the work is loaded when a command is called.
 */
export function addClientCommands(program: Command, io: Io): void {
  const task = <Flags>(load: Load<Flags>) => action(io, load);

  withServer(program.command("get"))
    .description("download and verify files of a library item; resumes an interrupted download")
    .argument("<item>", "its id, LIBRARY/ITEM, or a unique name")
    .argument("[files...]", "names of the files; all files by default")
    .option("-o, --output <directory>", "directory for the files", ".")
    .option("--parallel <number>", "files at once", wholeNumberArgument(1, 64), 4)
    .addOption(
      new Option("--patience <seconds>", "give up after this long without progress")
        .argParser(secondsArgument)
        .default(120),
    )
    .addOption(
      new Option("--idle <seconds>", "replace a connection that is silent for this long")
        .argParser(secondsArgument)
        .default(30),
    )
    .option("-q, --quiet", "print errors only")
    .addHelpText("after", () => exitCodeHelp())
    .action(task(async () => (await import("./get/get.ts")).get));

  const items = program.command("items").description("show libraries and their items");
  withServer(items.command("list", { isDefault: true }))
    .description("list the items of one library or of all")
    .argument("[library]", "its name or id")
    .option("-l, --long", "add the number of files, the version and the time of the last change")
    .action(task(async () => (await import("./items/items.ts")).list));
  withServer(items.command("show"))
    .description("show an item and its files")
    .argument("<item>", "its id, LIBRARY/ITEM, or a unique name")
    .action(task(async () => (await import("./items/items.ts")).show));

  const sessions = program.command("sessions").description("show download sessions and end them");
  const work = () => import("./sessions/sessions.ts");
  withWatch(withServer(sessions.command("list")))
    .description("list your sessions")
    .option("--item <item>", "list only sessions of this item")
    .action(task(async () => (await work()).list));
  withWatch(withServer(sessionCommand(sessions, "show")))
    .description("show a session and its files")
    .action(task(async () => (await work()).show));
  withServer(sessionCommand(sessions, "keep-alive"))
    .description("renew the lease of a session")
    .option("--progress <percent>", "progress to report, 0 to 100", wholeNumberArgument(0, 100))
    .action(task(async () => (await work()).keepAlive));
  withServer(sessionCommand(sessions, "cancel"))
    .description("cancel a session and cut its running downloads")
    .action(task(async () => (await work()).cancel));
  withServer(sessionCommand(sessions, "fail"))
    .description("end a session with an error")
    .requiredOption("-m, --message <text>", "reason of the failure")
    .action(task(async () => (await work()).fail));
  withServer(sessionCommand(sessions, "delete"))
    .description("remove a session in any state")
    .action(task(async () => (await work()).remove));

  program
    .command("completion")
    .description("print the script for completion in a shell: source <(downlease completion bash)")
    .addArgument(new Argument("<shell>", "which shell").choices(shells))
    .action(async (shell) => (await import("./completion/completion.ts")).printScript(program, shell, io));
  program
    .command("complete", { hidden: true })
    .argument("[words...]")
    .action(async (words: string[]) =>
      (await import("./completion/completion.ts")).printCandidates(program, words, io),
    );
}

function withServer(command: Command): Command {
  addServerOptions(command);
  return command.option("--json", "write JSON, one object a line");
}

function withWatch(command: Command): Command {
  return command
    .option("-w, --watch", "keep showing changes")
    .addOption(
      new Option("--interval <seconds>", "time between updates").argParser(secondsArgument).default(2),
    );
}

function sessionCommand(sessions: Command, name: string): Command {
  return sessions.command(name).argument("<id>", "of the session");
}

/** The handler that Commander calls for a command. */
function action<Flags>(io: Io, load: Load<Flags>) {
  return async (...args: unknown[]) => {
    const command = args.at(-1) as Command;
    const [{ runTask }, work] = await Promise.all([import("./run.ts"), load()]);
    const flags = { ...command.opts(), ...serverFlags(command, io.environment) } as Flags & CommonFlags;
    io.exitCode = await runTask({ flags, operands: command.processedArgs.flat().filter(isText), io }, work);
  };
}

function isText(operand: unknown): operand is string {
  return typeof operand === "string";
}

function wholeNumberArgument(min: number, max: number) {
  return (text: string) => orRefuse(wholeNumber(text, min, max), wholeNumberRule(min, max));
}

function secondsArgument(text: string): number {
  const [min, max] = [0.1, 86_400];
  return orRefuse(secondsAsMs(text, min, max), secondsRule(min, max)) / 1000;
}

function orRefuse(value: number | undefined, rule: string): number {
  if (value === undefined) throw new InvalidArgumentError(`It ${rule}.`);
  return value;
}

function exitCodeHelp(): string {
  const rows = Object.values(exitCodes).map(
    ({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`,
  );
  return ["", "Exit codes:", ...rows].join("\n");
}
