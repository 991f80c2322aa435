import { type Command, Option } from "commander";
import { roles } from "../../domain/roles.ts";

interface UsersFlags {
  readonly usersFile: string;
  readonly role?: readonly string[];
}

/** Adds the commands that change the users who may log in with a password. What they need is loaded when one is called. */
export function addUsersCommands(program: Command): void {
  const users = program.command("users").description("change the users who may log in with a password");
  const usersFile = () =>
    new Option("--users-file <path>", "the users").env("DOWNLEASE_USERS_FILE").makeOptionMandatory();
  users
    .command("add <name>")
    .description("add a user, or give one another password; it is asked for, or read from standard input")
    .addOption(usersFile())
    .addOption(roleOption())
    .action(explained(add));
  users
    .command("remove <name>")
    .description("remove a user, which ends their login sessions")
    .addOption(usersFile())
    .action(explained(remove));
  users.command("list").description("print names and roles").addOption(usersFile()).action(explained(list));
}

/** May be given several times. Not variadic: that would take a name that follows for a role. */
function roleOption(): Option {
  const option = new Option("--role <role>", "what the user may do besides; may be repeated").choices(roles);
  const one = option.parseArg!;
  return option.argParser((role, others: readonly string[] = []) => [
    ...new Set([...others, one<string>(role, "")]),
  ]);
}

async function add(text: string, { usersFile: path, role = [] }: UsersFlags): Promise<void> {
  const [{ putUser, userName }, { readNewPassword }, { hashPassword }] = await Promise.all([
    import("./edit-users.ts"),
    import("./new-password.ts"),
    import("../../auth/password-hash.ts"),
  ]);
  const name = userName(text);
  const password = await hashPassword(await readNewPassword(name));
  const outcome = await putUser(path, { name, password, roles: role });
  process.stdout.write(`${name} is ${outcome}\n`);
}

async function remove(name: string, { usersFile: path }: UsersFlags): Promise<void> {
  const { removeUser, userName } = await import("./edit-users.ts");
  await removeUser(path, userName(name));
}

async function list({ usersFile: path }: UsersFlags): Promise<void> {
  const { listUsers } = await import("./edit-users.ts");
  for (const { name, roles } of await listUsers(path)) {
    process.stdout.write(`${[name, ...roles].join("\t")}\n`);
  }
}

/** Tells what the command could not do in a line, and ends with 1. */
function explained<Args extends unknown[]>(work: (...args: Args) => Promise<void>) {
  return async (...args: Args) => {
    try {
      await work(...args);
    } catch (error) {
      const { UsersError } = await import("./edit-users.ts");
      if (!(error instanceof UsersError)) throw error;
      process.stderr.write(`${error.message}\n`);
      process.exitCode = 1;
    }
  };
}
