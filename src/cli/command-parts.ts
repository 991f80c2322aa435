import { type Command, InvalidArgumentError, Option } from "commander";
import {
  byteCount,
  byteCountRule,
  secondsAsMs,
  secondsRule,
  wholeNumber,
  wholeNumberRule,
} from "../config/numbers.ts";
import type { Io } from "./io.ts";
import type { CommonFlags, LocalTask, Task, TaskInput } from "./run.ts";
import { addServerOptions, optionsOf, serverFlags } from "./server-options.ts";

/** Loads the function that does the work of a command. */
type Load<T> = () => Promise<(task: T) => Promise<void>>;

/** Adds the options of every command that calls a service. */
export function withServer(command: Command): Command {
  addServerOptions(command);
  return withJson(command);
}

export function withJson<C extends Command>(command: C): C {
  return command.option("--json", "write JSON, one object a line");
}

export function withWatch(command: Command): Command {
  return command
    .option("-w, --watch", "keep showing changes")
    .addOption(
      new Option("--interval <seconds>", "time between updates").argParser(secondsArgument).default(2),
    );
}

/** The handler that Commander calls for a command that calls a service. */
export function serverAction<Flags>(
  io: Io,
  load: Load<Task<Flags & CommonFlags>>,
  { logsIn = false }: Pick<TaskInput<Flags>, "logsIn"> = {},
) {
  return async (...args: unknown[]) => {
    const command = args.at(-1) as Command;
    const [{ runTask }, work] = await Promise.all([import("./run.ts"), load()]);
    const flags = { ...optionsOf(command), ...serverFlags(command, io.environment) } as Flags & CommonFlags;
    io.exitCode = await runTask({ flags, operands: operandsOf(command), io, logsIn }, work);
  };
}

/** The same for a command that calls none. */
export function localAction<Flags>(io: Io, load: Load<LocalTask<Flags & Pick<CommonFlags, "json">>>) {
  return async (...args: unknown[]) => {
    const command = args.at(-1) as Command;
    const [{ runLocalTask }, work] = await Promise.all([import("./run.ts"), load()]);
    const flags = optionsOf(command) as Flags & CommonFlags;
    io.exitCode = await runLocalTask({ flags, operands: operandsOf(command), io }, work);
  };
}

function operandsOf(command: Command): string[] {
  return command.processedArgs.flat().filter((operand) => typeof operand === "string");
}

/**
 * Refuses options before a command that does not have them, such as `downlease --server URL serve`. Commander itself
 * accepts them and drops them.
 */
export function refuseForeignOptions(command: Command): void {
  const own = new Set(command.options.map((option) => option.attributeName()));
  for (let before = command.parent; before !== null; before = before.parent) {
    const foreign = before.options.find(
      (option) => before.opts()[option.attributeName()] !== undefined && !own.has(option.attributeName()),
    );
    if (foreign !== undefined)
      command.error(`error: unknown option '${foreign.long}' for '${command.name()}'`);
  }
}

/** Refuses operands of a default command that takes none: the first one is probably a misspelled command. */
export function refuseOperands({ args: [operand], parent }: Command): void {
  if (operand === undefined) return;
  if (parent!.args[0] !== operand) parent!.error(`error: too many arguments: '${operand}'`);
  // Commander's own message, with the command that was probably meant; its types leave it out.
  (parent as unknown as { unknownCommand(): never }).unknownCommand();
}

export function wholeNumberArgument(min: number, max: number) {
  return (text: string) => orRefuse(wholeNumber(text, min, max), wholeNumberRule(min, max));
}

export function secondsArgument(text: string): number {
  const [min, max] = [0.1, 86_400];
  return orRefuse(secondsAsMs(text, min, max), secondsRule(min, max)) / 1000;
}

/** Seconds, from none to about thirty years. */
export function ageArgument(text: string): number {
  const [min, max] = [0, 1_000_000_000];
  return orRefuse(secondsAsMs(text, min, max), secondsRule(min, max)) / 1000;
}

/** Bytes a second; a slower connection would be taken for a dead one. */
export function rateArgument(text: string): number {
  const min = 1024;
  return orRefuse(byteCount(text.replace(/\/s$/, ""), min), `${byteCountRule}, of 1 KiB or more`);
}

function orRefuse(value: number | undefined, rule: string): number {
  if (value === undefined) throw new InvalidArgumentError(`It ${rule}.`);
  return value;
}
