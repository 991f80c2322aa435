import type { Command } from "commander";
import { refuseOperands, serverAction, withServer, withWatch } from "../command-parts.ts";
import type { Io } from "../io.ts";

/** Adds the commands of operators. */
export function addAdmin(program: Command, io: Io): void {
  const admin = withServer(program.command("admin")).description("administer a service (role admin)");
  addSettings(admin, io);
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
