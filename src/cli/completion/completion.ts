import { readFileSync } from "node:fs";
import tab from "@bomb.sh/tab/commander";
import { Command } from "commander";
import type { ServerFlags } from "../connection.ts";
import type { Shell } from "../program.ts";
import { addServerOptions, serverFlags } from "../server-options.ts";
import type { Candidate, Source } from "./candidates.ts";

/**
 * Writes the script that makes a shell ask this program.
 *
 * That for bash is our own: the library's has the shell expand the candidates, which would run commands that a hostile server gives as
 * names, and needs the package bash-completion.
 */
export function printScript(program: Command, shell: Shell): void {
  if (shell === "bash") {
    process.stdout.write(readFileSync(new URL("completion.bash", import.meta.url)));
    return;
  }
  tab(withCommandsOf(program)).setup(program.name(), program.name(), shell);
}

/** By command, what its arguments and options are names of. */
const sources: Record<string, Record<string, Source>> = {
  get: { item: "items", files: "files" },
  "items show": { item: "items" },
  "items list": { library: "libraries" },
  // Without a command a library may follow.
  items: { library: "libraries" },
  "sessions list": { item: "items" },
  ...Object.fromEntries(
    ["show", "keep-alive", "cancel", "fail", "delete"].map((name) => [
      `sessions ${name}`,
      { id: "sessions" },
    ]),
  ),
};

/** What completion of files is left to the shell with. */
const letShellComplete = ":0\n";

/**
 * Writes what may stand in the place of the last word: a line each, then what the shell is to do with them. What the server has to tell
 * is left out when it does not tell it soon.
 *
 * @param words of the command line, without the program
 */
export async function printCandidates(program: Command, words: readonly string[]): Promise<void> {
  if (takesPath(program, words.at(-2))) {
    process.stdout.write(letShellComplete);
    return;
  }
  const root = tab(withCommandsOf(program));
  root.commands.delete("complete");
  const operands = words.slice(0, -1).filter((word) => !word.startsWith("-"));
  const name = [operands.slice(0, 2).join(" "), operands[0] ?? ""].find(
    (path) => sources[path] !== undefined,
  );
  const wanted = sources[name ?? ""];
  const command = root.commands.get(name ?? "");
  if (wanted !== undefined && command !== undefined && !words.at(-1)?.startsWith("-")) {
    const item = operands[name!.split(" ").length];
    // Not before it is clear that there is anything to ask for: it takes twice the time.
    const { candidatesFor } = await import("./candidates.ts");
    const found = await candidatesFor(new Set(Object.values(wanted)), {
      flags: flagsIn(words.slice(0, -1)),
      word: words.at(-1) ?? "",
      item,
    });
    for (const [place, source] of Object.entries(wanted)) {
      const handler = (complete: (value: string, description: string) => void) =>
        tell(found[source], complete);
      const argument = command.arguments.get(place);
      const option = command.options.get(place);
      if (argument !== undefined) argument.handler = handler;
      else if (option !== undefined) option.handler = handler;
      else command.argument(place, handler);
    }
  }
  root.parse([...words]);
}

function tell(
  candidates: readonly Candidate[] = [],
  complete: (value: string, description: string) => void,
): void {
  for (const { value, description } of candidates) complete(value, description);
}

/** The library adds a command of its own, which is called otherwise here. */
function withCommandsOf(program: Command): Command {
  const copy = new Command(program.name());
  for (const command of program.commands) if (command.name() !== "complete") copy.addCommand(command);
  return copy;
}

function takesPath(program: Command, word: string | undefined): boolean {
  if (word === undefined || !word.startsWith("-")) return false;
  const commands = program.commands.flatMap((command) => [command, ...command.commands]);
  const option = commands
    .flatMap(({ options }) => options)
    .find(({ short, long }) => word === short || word === long);
  return option !== undefined && /[<[](path|directory)[\]>]/.test(option.flags);
}

/** What the words say of the server; the variables count as they do otherwise. */
function flagsIn(words: readonly string[]): ServerFlags {
  const command = new Command()
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .exitOverride()
    .configureOutput({ outputError() {} });
  addServerOptions(command);
  try {
    command.parse(words, { from: "user" });
  } catch {
    // Half a command line.
  }
  return serverFlags(command);
}
