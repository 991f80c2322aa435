import { Argument, type Command, Option } from "commander";
import { maxConnections } from "../client/connection-pool.ts";
import { type ClientSetting, clientSettings } from "../config/client-settings.ts";
import { addAdmin } from "./admin/admin.ts";
import {
  localAction,
  rateArgument,
  refuseForeignOptions,
  refuseOperands,
  secondsArgument,
  serverAction,
  wholeNumberArgument,
  withJson,
  withServer,
  withWatch,
} from "./command-parts.ts";
import { shells } from "./completion/shells.ts";
import { exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { addServerOptions } from "./server-options.ts";

/**
 * Adds the commands that call a service, and those that belong to them. This file only describes them: the code that does the work is
 * loaded when a command is called. Their options may also stand before the command.
 */
export function addClientCommands(program: Command, io: Io): void {
  // Before the commands, which inherit it: otherwise the program would take the options of its commands.
  program.enablePositionalOptions();
  withServer(program).hook("preAction", (_, command) => refuseForeignOptions(command));
  addGet(program, io);
  addItems(program, io);
  addSessions(program, io);
  addLogins(program, io);
  addServers(program, io);
  addAdmin(program, io);
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

function addGet(program: Command, io: Io): void {
  withServer(program.command("get"))
    .description("download and verify files of a library item; resumes an interrupted download")
    .argument("<item>", "its id, LIBRARY/ITEM, or a unique name; 'LIBRARY/*' for all items of a library")
    .argument("[files...]", "names of the files; all files by default")
    .option(
      "-o, --output <directory>",
      "directory for the files; - writes one file to the standard output",
      ".",
    )
    .option("--parallel <number>", "files at once", wholeNumberArgument(1, 64), 4)
    .option(
      "--connections <number>",
      "connections of a large file (default: one, up to 4 on a long line)",
      wholeNumberArgument(1, maxConnections),
    )
    .addOption(
      new Option(
        "--limit-rate <rate>",
        "bytes a second of all files together, such as 500KiB or 1.5MiB",
      ).argParser(rateArgument),
    )
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
    .action(serverAction(io, async () => (await import("./get/get.ts")).get));
}

function addItems(program: Command, io: Io): void {
  const items = withServer(program.command("items")).description("show libraries and their items");
  withServer(items.command("list", { isDefault: true }))
    .description("list the items of one library or of all")
    .argument("[library]", "its name or id")
    .option("-l, --long", "add the number of files, the version and the time of the last change")
    .action(serverAction(io, async () => (await import("./items/items.ts")).list));
  withServer(items.command("show"))
    .description("show an item and its files")
    .argument("<item>", "its id, LIBRARY/ITEM, or a unique name")
    .action(serverAction(io, async () => (await import("./items/items.ts")).show));
}

function addSessions(program: Command, io: Io): void {
  const sessions = withServer(program.command("sessions")).description("show download sessions and end them");
  const work = () => import("./sessions/sessions.ts");
  const one = (name: string) => withServer(sessions.command(name)).argument("<id>", "of the session");
  const several = (name: string) =>
    withServer(sessions.command(name)).argument("<ids...>", "of the sessions");
  withWatch(withServer(sessions.command("list", { isDefault: true })))
    .description("list your sessions")
    .option("--item <item>", "list only sessions of this item")
    .addOption(new Option("--state <state>", "list only sessions in this state").choices(sessionStates))
    .option("--limit <number>", "list only this many, the newest ones", wholeNumberArgument(1, 1_000_000))
    // A misspelled command is an operand of the default command.
    .allowExcessArguments()
    .hook("preAction", (_, list) => refuseOperands(list))
    .action(serverAction(io, async () => (await work()).list));
  withWatch(one("show"))
    .description("show a session and its files")
    .action(serverAction(io, async () => (await work()).show));
  one("keep-alive")
    .description("renew the lease of a session")
    .option("--progress <percent>", "progress to report, 0 to 100", wholeNumberArgument(0, 100))
    .action(serverAction(io, async () => (await work()).keepAlive));
  several("cancel")
    .description("cancel sessions and cut their running downloads")
    .action(serverAction(io, async () => (await work()).cancel));
  one("fail")
    .description("end a session with an error")
    .requiredOption("-m, --message <text>", "reason of the failure")
    .action(serverAction(io, async () => (await work()).fail));
  several("delete")
    .description("remove sessions in any state")
    .action(serverAction(io, async () => (await work()).remove));
}

const sessionStates = ["ACTIVE", "CANCELED", "ERROR"] as const;

function addLogins(program: Command, io: Io): void {
  withServer(program.command("login"))
    .description("log in and save the login session for the commands that follow")
    .action(serverAction(io, async () => (await import("./login/login.ts")).login, { logsIn: true }));
  withServer(program.command("logout"))
    .description("close the saved login session and remove it")
    .action(serverAction(io, async () => (await import("./login/login.ts")).logout, { logsIn: true }));
}

/** The settings that an entry of the list of servers may have. */
const entrySettings: readonly ClientSetting["name"][] = [
  "user",
  "tokenFile",
  "passwordFile",
  "ca",
  "cert",
  "key",
];

function addServers(program: Command, io: Io): void {
  const servers = withJson(program.command("servers")).description("give names to servers, for --server");
  const work = () => import("./servers/servers.ts");
  withJson(servers.command("list", { isDefault: true }))
    .description("list the servers that have names")
    .action(localAction(io, async () => (await work()).list));
  const add = withJson(servers.command("add"))
    .description("give a name to a server, or change it")
    .argument("<name>", "for --server")
    .argument("<url>", "of the server")
    .option("--default", "call this server when no other is named")
    .action(localAction(io, async () => (await work()).add));
  const settings = clientSettings.filter(({ name }) => entrySettings.includes(name));
  addServerOptions(
    add,
    settings.map(({ variable: _, ...setting }) => setting),
  );
  withJson(servers.command("remove"))
    .description("remove a name")
    .argument("<name>", "of the server")
    .action(localAction(io, async () => (await work()).remove));
}

function exitCodeHelp(): string {
  const rows = Object.values(exitCodes).map(
    ({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`,
  );
  return ["", "Exit codes:", ...rows].join("\n");
}
