import { readFileSync } from "node:fs";
import type { Command as Completable } from "@bomb.sh/tab";
import tab from "@bomb.sh/tab/commander";
import { Command, type Option } from "commander";
import type { Io } from "../io.ts";
import { loadOptions } from "../lazy-command.ts";
import { addServerOptions, type ServerFlags, serverFlags } from "../server-options.ts";
import type { Candidate, Source } from "./candidates.ts";
import type { Shell } from "./shells.ts";

/**
 * Prints the script that makes a shell ask this program for completions.
 *
 * The scripts for bash and PowerShell are our own: those of the library let the shell evaluate text, so a hostile server could run
 * commands through names, and the one for bash needs the package bash-completion.
 */
export function printScript(program: Command, shell: Shell, { stdout }: Io): void {
  const own = ownScripts[shell];
  if (own !== undefined) {
    stdout.write(readFileSync(new URL(own, import.meta.url)));
    return;
  }
  const name = program.name();
  printTo(stdout, () => tab(withCommandsOf(program)).setup(name, name, shell));
}

const ownScripts: Partial<Record<Shell, string>> = { bash: "completion.bash", powershell: "completion.ps1" };

/** By command: the sources of the names that its arguments and options take. */
const sources: Record<string, Record<string, Source>> = {
  get: { item: "items", files: "files" },
  "items show": { item: "items" },
  "items list": { library: "libraries" },
  // The default command of `items` takes a library.
  items: { library: "libraries" },
  "sessions list": { item: "items" },
  sessions: { item: "items" },
  ...Object.fromEntries(
    ["show", "keep-alive", "fail"].map((name) => [`sessions ${name}`, { id: "sessions" }]),
  ),
  ...Object.fromEntries(["cancel", "delete"].map((name) => [`sessions ${name}`, { ids: "sessions" }])),
  "servers remove": { name: "servers" },
  "admin sessions": { item: "items" },
  "admin end": { item: "items" },
};

/** Commands whose operands are files. */
const withPathOperands = ["backup"];

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
  const isPathOperand = withPathOperands.includes(words[0] ?? "") && !words.at(-1)?.startsWith("-");
  if (isPathOperand || takesPath(program, words.at(-2))) {
    io.stdout.write(letShellComplete);
    return;
  }
  const root = tab(withCommandsOf(program));
  root.commands.delete("complete");
  addDefaultOptions(root.commands);
  const before = words.slice(0, -1);
  const operands = operandsIn(before, program);
  const path =
    [operands.slice(0, 2).join(" "), operands[0] ?? ""].find((each) => root.commands.has(each)) ?? "";
  const command = root.commands.get(path) ?? root;
  const wanted = before.at(-1) === "--server" ? { server: "servers" as const } : (sources[path] ?? {});
  const kinds = new Set(Object.values(wanted));
  if (kinds.size > 0 && !words.at(-1)?.startsWith("-")) {
    // Loaded only if there is something to ask the server: loading it doubles the time that a completion takes.
    const { candidatesFor } = await import("./candidates.ts");
    const item = operands[path.split(" ").length];
    const typed = { flags: flagsIn(before, io), word: words.at(-1) ?? "", item };
    const candidates = await candidatesFor(kinds, typed, io);
    for (const [place, source] of Object.entries(wanted)) offer(command, place, candidates[source] ?? []);
  }
  printTo(io.stdout, () => root.parse([...words]));
}

/** Makes candidates those of an argument or an option. */
function offer(command: Completable, place: string, candidates: readonly Candidate[]): void {
  const handler = (complete: (value: string, description: string) => void) => {
    for (const { value, description } of candidates) complete(value, description);
  };
  const target = command.arguments.get(place) ?? command.options.get(place);
  if (target === undefined) command.argument(place, handler);
  else target.handler = handler;
}

/** `downlease sessions --state` is `downlease sessions list --state`. */
function addDefaultOptions(commands: ReadonlyMap<string, Completable>): void {
  for (const [path, { options }] of commands) {
    for (const [name, option] of commands.get(`${path} list`)?.options ?? []) options.set(name, option);
  }
}

/** The words that are neither options nor their values. */
function operandsIn(words: readonly string[], program: Command): string[] {
  const operands: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (!word.startsWith("-")) operands.push(word);
    else if (optionOf(program, word)?.required) index++;
  }
  return operands;
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
  for (const option of program.options) copy.addOption(option);
  for (const command of program.commands) if (!ownCommands.includes(command.name())) copy.addCommand(command);
  return copy;
}

function takesPath(program: Command, word: string | undefined): boolean {
  const option = word === undefined ? undefined : optionOf(program, word);
  return option !== undefined && /[<[](path|directory)[\]>]/.test(option.flags);
}

/** The option of this name, of any command. */
function optionOf(program: Command, word: string): Option | undefined {
  const commands = program.commands.flatMap((command) => [command, ...command.commands]);
  return [program, ...commands]
    .flatMap(({ options }) => options)
    .find(({ short, long }) => word === short || word === long);
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
