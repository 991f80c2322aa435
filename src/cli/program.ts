import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import {
  wholeNumber as readWholeNumber,
  secondsAsMs,
  secondsRule,
  wholeNumberRule,
} from "../config/numbers.ts";
import { exitCodes } from "./exit-codes.ts";
import type { CommonFlags, Task } from "./run.ts";
import { addServerOptions, serverFlags } from "./server-options.ts";

/** Those that there is a completion script for. */
const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** A variable that has no flag; secrets do not belong on the command line. */
type Environment = Readonly<Record<string, string | undefined>>;

/** What does the work of a command, loaded when it is called. */
type Load<Flags> = () => Promise<(task: Task<Flags & CommonFlags>) => Promise<void>>;

/**
 * Adds the commands that call a service. They are described here and done elsewhere: nothing but the description is loaded before one
 * is called.
 */
export function addClientCommands(program: Command, environment: Environment): void {
  const task = <Flags>(load: Load<Flags>) => action(environment, load);

  withServer(program.command("get"))
    .description("download files of a library item, verified; continues what was interrupted")
    .argument("<item>", "its id, LIBRARY/ITEM, or a name that only one item has")
    .argument("[files...]", "names of the files; all of them without any")
    .option("-o, --output <directory>", "where the files go", ".")
    .option("--parallel <number>", "files at once", wholeNumber(1, 64), 4)
    .addOption(
      new Option("--patience <seconds>", "how long to go on when nothing gets on")
        .argParser(seconds)
        .default(120),
    )
    .addOption(
      new Option("--idle <seconds>", "how long a connection may be silent").argParser(seconds).default(30),
    )
    .option("-q, --quiet", "tell nothing but what goes wrong")
    .addHelpText("after", () => exitCodeHelp())
    .action(task(async () => (await import("./get/get.ts")).get));

  const items = program.command("items").description("look at libraries and their items");
  withServer(items.command("list", { isDefault: true }))
    .description("list the items of a library, or of all")
    .argument("[library]", "its name or id")
    .option("-l, --long", "with the number of files, version and time of the last change")
    .action(task(async () => (await import("./items/items.ts")).list));
  withServer(items.command("show"))
    .description("show an item and its files")
    .argument("<item>", "its id, LIBRARY/ITEM, or a name that only one item has")
    .action(task(async () => (await import("./items/items.ts")).show));

  const sessions = program.command("sessions").description("look at download sessions, and end them");
  const work = () => import("./sessions/sessions.ts");
  withWatch(withServer(sessions.command("list")))
    .description("list your sessions")
    .option("--item <item>", "only those of this item")
    .action(task(async () => (await work()).list));
  withWatch(withServer(session(sessions, "show")))
    .description("show a session and its files")
    .action(task(async () => (await work()).show));
  withServer(session(sessions, "keep-alive"))
    .description("renew the lease of a session")
    .option("--progress <percent>", "tell how far its client is, 0 to 100", wholeNumber(0, 100))
    .action(task(async () => (await work()).keepAlive));
  withServer(session(sessions, "cancel"))
    .description("end a session; running transfers are cut")
    .action(task(async () => (await work()).cancel));
  withServer(session(sessions, "fail"))
    .description("end a session as failed")
    .requiredOption("-m, --message <text>", "what went wrong")
    .action(task(async () => (await work()).fail));
  withServer(session(sessions, "delete"))
    .description("remove a session in any state")
    .action(task(async () => (await work()).remove));

  program
    .command("completion")
    .description(
      "print the script with which a shell completes commands: source <(downlease completion bash)",
    )
    .addArgument(new Argument("<shell>", "which shell").choices(shells))
    .action(async (shell) => (await import("./completion/completion.ts")).printScript(program, shell));
  program
    .command("complete", { hidden: true })
    .argument("[words...]")
    .action(async (words: string[]) =>
      (await import("./completion/completion.ts")).printCandidates(program, words),
    );
}

function withServer(command: Command): Command {
  addServerOptions(command);
  return command.option("--json", "write JSON, one object a line");
}

function withWatch(command: Command): Command {
  return command
    .option("-w, --watch", "go on showing what changes")
    .addOption(new Option("--interval <seconds>", "how often to look").argParser(seconds).default(2));
}

function session(sessions: Command, name: string): Command {
  return sessions.command(name).argument("<id>", "of the session");
}

/** What commander calls when the command is given. */
function action<Flags>(environment: Environment, load: Load<Flags>) {
  return async (...given: unknown[]) => {
    const command = given.at(-1) as Command;
    const [{ runTask, exitWith }, work] = await Promise.all([import("./run.ts"), load()]);
    const flags = { ...command.opts(), ...serverFlags(command), password: environment.DOWNLEASE_PASSWORD };
    await exitWith(
      await runTask(flags as Flags & CommonFlags, command.processedArgs.flat().filter(isText), work),
    );
  };
}

function isText(operand: unknown): operand is string {
  return typeof operand === "string";
}

function wholeNumber(min: number, max: number) {
  return (text: string) => orRefuse(readWholeNumber(text, min, max), wholeNumberRule(min, max));
}

function seconds(text: string): number {
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
