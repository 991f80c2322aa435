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

/** Adds the commands for operators of a service. This file only describes them, as `commands.ts` does. */
export function addAdmin(program: Command, io: Io): void {
  const admin = withServer(program.command("admin")).description(
    "administer a service; needs the role admin, or a service on this machine without authentication",
  );
  addSessions(admin, io);
  addEnd(admin, io);
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
  withServer(logins.command("end"))
    .description("end login sessions, whose holders have to log in again")
    .argument("[ids...]", "as listed; or choose them by --of")
    .option("--of <name>", "those of this principal")
    .option("-y, --yes", "do not ask; needed where there is no terminal")
    .action(serverAction(io, async () => (await work()).end));
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
  withFilter(withServer(admin.command("end")), state)
    .description("end download sessions and cut their running downloads")
    .argument("[ids...]", "of the sessions; or choose them by options")
    .option("--all", "end the sessions of everybody")
    .option("--cancel", "cancel them, as their owners do")
    .option("--fail <text>", "end them with an error that their owners read")
    .option("--delete", "remove them at once, in any state")
    .option("--dry-run", "only count the sessions that would be ended")
    .option("-y, --yes", "do not ask; needed where there is no terminal")
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
