import { readFileSync } from "node:fs";
import tab from "@bomb.sh/tab/commander";
import { Command } from "commander";
import type { Io } from "../io.ts";
import { loadOptions } from "../lazy-command.ts";
import { addServerOptions, type ServerFlags, serverFlags } from "../server-options.ts";
import type { Source } from "./candidates.ts";
import type { Shell } from "./shells.ts";

/**
 * Prints the script that makes a shell ask this program for completions.
 *
 * The script for bash is our own: the library's lets the shell expand the candidates, so a hostile server could run commands through
 * names, and it needs the package bash-completion.
 */
export function printScript(program: Command, shell: Shell, { stdout }: Io): void {
  if (shell === "bash") {
    stdout.write(readFileSync(new URL("completion.bash", import.meta.url)));
    return;
  }
  const name = program.name();
  printTo(stdout, () => tab(withCommandsOf(program)).setup(name, name, shell));
}

/** By command: the sources of the names that its arguments and options take. */
const sources: Record<string, Record<string, Source>> = {
  get: { item: "items", files: "files" },
  "items show": { item: "items" },
  "items list": { library: "libraries" },
  // The default command of `items` takes a library.
  items: { library: "libraries" },
  "sessions list": { item: "items" },
  ...Object.fromEntries(
    ["show", "keep-alive", "cancel", "fail", "delete"].map((name) => [
      `sessions ${name}`,
      { id: "sessions" },
    ]),
  ),
};

/** Directive: let the shell complete file names. */
const letShellComplete = ":0\n";

/**
 * Prints the completions of the last word, one a line, then a directive for the shell. Names from the server are left out if it does
 * not answer within a second.
 *
 * @param words of the command line, without the program
 */
export async function printCandidates(program: Command, words: readonly string[], io: Io): Promise<void> {
  await loadOptions(program.commands.find((command) => command.name() === words[0]));
  if (takesPath(program, words.at(-2))) {
    io.stdout.write(letShellComplete);
    return;
  }
  const root = tab(withCommandsOf(program));
  root.commands.delete("complete");
  const operands = words.slice(0, -1).filter((word) => !word.startsWith("-"));
  const name = [operands.slice(0, 2).join(" "), operands[0] ?? ""].find(
    (path) => sources[path] !== undefined,
  );
  const sourcesByPlace = sources[name ?? ""];
  const command = root.commands.get(name ?? "");
  if (sourcesByPlace !== undefined && command !== undefined && !words.at(-1)?.startsWith("-")) {
    // Loaded only if there is something to ask the server: loading it doubles the time that a completion takes.
    const { candidatesFor } = await import("./candidates.ts");
    const candidates = await candidatesFor(
      new Set(Object.values(sourcesByPlace)),
      {
        flags: flagsIn(words.slice(0, -1), io),
        word: words.at(-1) ?? "",
        item: operands[name!.split(" ").length],
      },
      io,
    );
    for (const [place, source] of Object.entries(sourcesByPlace)) {
      const handler = (complete: (value: string, description: string) => void) => {
        for (const { value, description } of candidates[source] ?? []) complete(value, description);
      };
      const argument = command.arguments.get(place);
      const option = command.options.get(place);
      if (argument !== undefined) argument.handler = handler;
      else if (option !== undefined) option.handler = handler;
      else command.argument(place, handler);
    }
  }
  printTo(io.stdout, () => root.parse([...words]));
}

/** Redirects `console.log`, the only way in which the library writes. */
function printTo(stdout: NodeJS.WriteStream, print: () => void): void {
  const { log } = console;
  console.log = (text: string) => void stdout.write(`${text}\n`);
  try {
    print();
  } finally {
    console.log = log;
  }
}

/** The hidden command that scripts of shells call, and the one that every program has. */
const ownCommands = ["complete", "help"];

/** A copy of the program for the library, which adds a `complete` command of its own. */
function withCommandsOf(program: Command): Command {
  const copy = new Command(program.name());
  for (const command of program.commands) if (!ownCommands.includes(command.name())) copy.addCommand(command);
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

/** The server flags among the words; variables count as they do otherwise. */
function flagsIn(words: readonly string[], { environment }: Io): ServerFlags {
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
    // The command line is incomplete.
  }
  return serverFlags(command, environment);
}
