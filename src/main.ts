#!/usr/bin/env node
import cluster from "node:cluster";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Command, CommanderError, Option } from "commander";
import {
  type App,
  readConfig,
  StartError,
  startApp,
  startWorkerApp,
  superviseApps,
  WorkerFailure,
} from "./app.ts";
import { listUsers, putUser, removeUser, UsersError, userName } from "./auth/edit-users.ts";
import { readNewPassword } from "./auth/new-password.ts";
import { hashPassword } from "./auth/password-hash.ts";
import { roles } from "./auth/principal.ts";
import { ConfigError, type ConfigSources } from "./config/load.ts";
import { type Config, settings } from "./config/settings.ts";

// Else a first burst of calls can teach V8 that what a call makes lives long; for the rest of its life the process then
// makes it in the old heap, and a call costs up to half as much again (docs/performance.md).
setFlagsFromString("--no-allocation-site-pretenuring");

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

const program = new Command("downlease")
  .description("Content Library download sessions as a service")
  .version(version)
  .exitOverride();

const serveCommand = program
  .command("serve")
  .description("serve download sessions over gRPC, Connect, gRPC-Web and REST")
  .addHelpText(
    "after",
    "\nEvery flag is also a variable: --lease-seconds is DOWNLEASE_LEASE_SECONDS. The flag wins.",
  )
  .action(serve);
for (const { usage, alone, help, default: value } of settings) {
  const option = new Option(usage, `${help} (default: ${value})`);
  serveCommand.addOption(alone === undefined ? option : option.preset(alone));
}

const users = program.command("users").description("change the users who may log in with a password");
const usersFile = () =>
  new Option("--users-file <path>", "the users").env("DOWNLEASE_USERS_FILE").makeOptionMandatory();
users
  .command("add <name>")
  .description("add a user, or give one another password; it is asked for, or read from standard input")
  .addOption(usersFile())
  .addOption(roleOption())
  .action(addUser);
users
  .command("remove <name>")
  .description("remove a user, which ends their login sessions")
  .addOption(usersFile())
  .action(async (name: string, { usersFile: path }: UsersFlags) => removeUser(path, userName(name)));
users
  .command("list")
  .description("print names and roles")
  .addOption(usersFile())
  .action(async ({ usersFile: path }: UsersFlags) => {
    for (const { name, roles } of await listUsers(path))
      process.stdout.write(`${[name, ...roles].join("\t")}\n`);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.exit(report(error));
}

interface UsersFlags {
  readonly usersFile: string;
  readonly role?: readonly string[];
}

/** May be given several times. Not variadic: that would take a name that follows for a role. */
function roleOption(): Option {
  const option = new Option("--role <role>", "what the user may do besides; may be repeated").choices(roles);
  const one = option.parseArg!;
  return option.argParser((role, others: readonly string[] = []) => [
    ...new Set([...others, one<string>(role, "")]),
  ]);
}

async function addUser(text: string, { usersFile: path, role = [] }: UsersFlags): Promise<void> {
  const name = userName(text);
  const password = await hashPassword(await readNewPassword(name));
  const outcome = await putUser(path, { name, password, roles: role });
  process.stdout.write(`${name} is ${outcome}\n`);
}

/** What a signal can end. */
interface Service {
  start(): Promise<void>;
  /** Resolves with the exit code. */
  stop(): Promise<number>;
  /** Ends at once what would outlive this process. */
  kill(): void;
}

/** Resolves when the service is up; it ends with the process. */
async function serve(flags: ConfigSources["flags"]): Promise<void> {
  const config = readConfig(flags, process.env);
  if (config.workers > 1 && cluster.isWorker) return startWorkerApp(config, explain);
  const service = config.workers > 1 ? severalProcesses(config) : oneProcess(config);
  let canStop = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (!canStop) {
        service.kill();
        process.exit(128 + constants.signals[signal]);
      }
      canStop = false;
      // A stop that fails is a bug: unhandled, it ends the process with a stack and exit code 1.
      void service.stop().then((code) => process.exit(code));
    });
  }
  await service.start();
  canStop = true;
}

function oneProcess(config: Config): Service {
  let app: App | undefined;
  return {
    async start() {
      app = await startApp(config);
    },
    async stop() {
      await app?.stop();
      return 0;
    },
    kill() {},
  };
}

function severalProcesses(config: Config): Service {
  const supervisor = superviseApps(config, { onFailure: (failure) => process.exit(report(failure)) });
  return {
    async start() {
      await supervisor.start();
      process.on("SIGHUP", () => void supervisor.restart());
    },
    stop: async () => ((await supervisor.stop()) ? 0 : 1),
    kill: () => supervisor.kill(),
  };
}

/** Tells the user what went wrong, and gives the exit code. */
function report(error: unknown): number {
  // Commander has told already; help and version arrive here, too, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const failure = explain(error);
  if (failure === undefined) throw error;
  process.stderr.write(failure.message);
  return failure.exitCode;
}

/** What to tell the user of what is no bug, and the exit code: 2 for their mistakes, 1 for the surroundings. */
function explain(error: unknown): { message: string; exitCode: number } | undefined {
  if (error instanceof ConfigError) {
    return { message: `${error.message}\nSee downlease serve --help.\n`, exitCode: 2 };
  }
  if (error instanceof StartError)
    return { message: `downlease can't start: ${error.message}\n`, exitCode: 1 };
  if (error instanceof UsersError) return { message: `${error.message}\n`, exitCode: 1 };
  if (error instanceof WorkerFailure) return error;
  return undefined;
}
