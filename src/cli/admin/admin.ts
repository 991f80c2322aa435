import { type Command, Option } from "commander";
import {
  ageArgument,
  refuseOperands,
  serverAction,
  wholeNumberArgument,
  withServer,
  withWatch,
} from "../command-parts.ts";
import type { Io } from "../io.ts";

/** Adds the commands of operators. This file only describes them, as `commands.ts` does. */
export function addAdmin(program: Command, io: Io): void {
  const admin = withServer(program.command("admin")).description("administer a service (role admin)");
  addOverview(admin, io);
  addSessions(admin, io);
  addEnd(admin, io);
  addSettings(admin, io);
  addLogins(admin, io);
  withServer(admin.command("users"))
    .description("list the users of the users file that the service uses")
    .action(serverAction(io, async () => (await import("./users.ts")).list));
  withServer(admin.command("audit"))
    .description("list the latest entries of the audit log that the service has in memory")
    .option("--of <name>", "only calls of this principal")
    .option("--session <id>", "only calls about this download session")
    .action(serverAction(io, async () => (await import("./audit.ts")).list));
}

function addLogins(admin: Command, io: Io): void {
  const logins = withServer(admin.command("logins")).description("show login sessions and end them");
  const work = () => import("./logins.ts");
  withServer(logins.command("list", { isDefault: true }))
    .description("list the login sessions of everybody")
    .option("--of <name>", "only those of this principal")
    .allowExcessArguments()
    .hook("preAction", (_, list) => refuseOperands(list))
    .action(serverAction(io, async () => (await work()).list));
  withYes(withServer(logins.command("end")))
    .description("end login sessions, whose holders have to log in again")
    .argument("[ids...]", "as listed; or choose them by --of")
    .option("--of <name>", "those of this principal")
    .action(serverAction(io, async () => (await work()).end));
}

function addOverview(admin: Command, io: Io): void {
  withWatch(withServer(admin.command("overview")))
    .description("show the state of the service: sessions, leases, downloads, the store and all replicas")
    .action(serverAction(io, async () => (await import("./overview.ts")).overview));
}

function addSessions(admin: Command, io: Io): void {
  withWatch(withFilter(withServer(admin.command("sessions")), "only sessions in this state; may be repeated"))
    .description("list the download sessions of everybody")
    .option(
      "--limit <number>",
      "list at most this many (default: 1000 in a table, all with --json)",
      wholeNumberArgument(1, 10_000_000),
    )
    .allowExcessArguments()
    .hook("preAction", (_, list) => refuseOperands(list))
    .action(serverAction(io, async () => (await import("./sessions.ts")).list));
}

function addEnd(admin: Command, io: Io): void {
  const state = "only sessions in this state; may be repeated (default: ACTIVE, any with --delete)";
  withYes(withFilter(withServer(admin.command("end")), state))
    .description("end download sessions and cut their running downloads")
    .argument("[ids...]", "of the sessions; or choose them by options")
    .option("--all", "end the sessions of everybody")
    .option("--cancel", "cancel them, as their owners do")
    .option("--fail <text>", "end them with an error that their owners read")
    .option("--delete", "remove them at once, in any state")
    .option("--dry-run", "only count the sessions that would be ended")
    .action(serverAction(io, async () => (await import("./end.ts")).end));
}

/** @param stateHelp help text of `--state` */
function withFilter(command: Command, stateHelp: string): Command {
  return command
    .option("--owner <name>", "only sessions of this principal")
    .option("--item <item>", "only sessions of this item: its id, LIBRARY/ITEM, or a unique name")
    .addOption(stateOption(stateHelp))
    .addOption(
      new Option("--min-age <seconds>", "only sessions that were created at least this long ago").argParser(
        ageArgument,
      ),
    );
}

const sessionStates = ["ACTIVE", "CANCELED", "ERROR"] as const;

/** May be repeated. Not variadic: a variadic option would take an id that follows it as a state. */
function stateOption(help: string): Option {
  const option = new Option("--state <state>", help).choices(sessionStates);
  const one = option.parseArg!;
  return option.argParser((state, others: readonly string[] = []) => [
    ...new Set([...others, one<string>(state, "")]),
  ]);
}

function addSettings(admin: Command, io: Io): void {
  const settings = withServer(admin.command("settings")).description(
    "show and change the settings that may change while the service runs",
  );
  const work = () => import("./settings.ts");
  withWatch(withServer(settings.command("show", { isDefault: true })))
    .description("show the settings: values, where they come from, and what they may be")
    // A misspelled command is an operand of the default command.
    .allowExcessArguments()
    .hook("preAction", (_, show) => refuseOperands(show))
    .action(serverAction(io, async () => (await work()).show));
  withYes(withServer(settings.command("set")))
    .description("change settings for all processes of the service")
    .argument("<changes...>", "name=value, for example lease_seconds=60")
    .action(serverAction(io, async () => (await work()).set));
  withYes(withServer(settings.command("reset")))
    .description("take changes back: the values are those of the flags again")
    .argument("<names...>", "of the settings")
    .action(serverAction(io, async () => (await work()).reset));
}

/** For a command that asks before it acts. */
function withYes(command: Command): Command {
  return command.option("-y, --yes", "do not ask");
}
