import { type Command, Option } from "commander";
import { usersFileVariable } from "../../config/client-settings.ts";
import { roles } from "../../domain/roles.ts";
import type { Io } from "../io.ts";

/** One run of a command that changes or lists users. */
interface UsersTask {
  readonly path: string;
  readonly roles: readonly string[];
  readonly io: Io;
}

/** Adds the commands for the users who may log in with a password. The code that does the work is loaded when one is called. */
export function addUsersCommands(program: Command, io: Io): void {
  const users = program.command("users").description("manage the users who may log in with a password");
  withUsersFile(users.command("add <name>"))
    .description("add a user, or change a password; the password is read from the terminal or standard input")
    .addOption(roleOption())
    .action(action(io, add));
  withUsersFile(users.command("remove <name>"))
    .description("remove a user and end their login and download sessions")
    .action(action(io, remove));
  withUsersFile(users.command("list")).description("print names and roles").action(action(io, list));
}

function withUsersFile(command: Command): Command {
  return command.option(usersFileFlag, `the users file (env: ${usersFileVariable})`);
}

const usersFileFlag = "--users-file <path>";

/** May be repeated. Not variadic: a variadic option would take the name that follows it as a role. */
function roleOption(): Option {
  const option = new Option("--role <role>", "a right of the user beyond downloads; may be repeated").choices(
    roles,
  );
  const one = option.parseArg!;
  return option.argParser((role, others: readonly string[] = []) => [
    ...new Set([...others, one<string>(role, "")]),
  ]);
}

async function add(text: string, { path, roles, io }: UsersTask): Promise<void> {
  const [{ putUser, userName }, { readNewPassword }, { hashPassword }] = await Promise.all([
    import("./edit-users.ts"),
    import("./new-password.ts"),
    import("../../auth/password-hash.ts"),
  ]);
  const name = userName(text);
  const password = await hashPassword(await readNewPassword(name, io));
  const outcome = await putUser(path, { name, password, roles });
  io.stdout.write(`${name} is ${outcome}\n`);
}

async function remove(name: string, { path }: UsersTask): Promise<void> {
  const { removeUser, userName } = await import("./edit-users.ts");
  await removeUser(path, userName(name));
}

async function list(_: string, { path, io }: UsersTask): Promise<void> {
  const { listUsers } = await import("./edit-users.ts");
  for (const { name, roles } of await listUsers(path)) {
    io.stdout.write(`${[name, ...roles].join("\t")}\n`);
  }
}

/** The handler that Commander calls for a command. A failure that is no bug is printed in one line and ends with 1. */
function action(io: Io, work: (name: string, task: UsersTask) => Promise<void>) {
  return async (...args: unknown[]) => {
    const command = args.at(-1) as Command;
    const { usersFile, role = [] } = command.opts<{ usersFile?: string; role?: readonly string[] }>();
    const path = usersFile ?? io.environment[usersFileVariable];
    if (!path) return command.error(`error: required option '${usersFileFlag}' not specified`);
    try {
      await work(command.args[0] ?? "", { path, roles: role, io });
    } catch (error) {
      const { UsersError } = await import("./edit-users.ts");
      if (!(error instanceof UsersError)) throw error;
      io.stderr.write(`downlease: ${error.message}\n`);
      io.exitCode = 1;
    }
  };
}
