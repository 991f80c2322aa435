import { readFile } from "node:fs/promises";
import { connect, type Downlease } from "../client/connect.ts";
import { visible } from "../client/printable.ts";
import { type ClientSecret, passwordVariable, traceHeadersOf } from "../config/client-settings.ts";
import { readSecretFile } from "../config/secret-file.ts";
import { SmallFileError } from "../config/small-file.ts";
import { CliError } from "./failure.ts";
import { fileProblem } from "./file-problem.ts";
import { askHidden } from "./hidden-input.ts";
import type { Io } from "./io.ts";
import type { ServerChoice } from "./server-choice.ts";
import type { ServerFlags } from "./server-options.ts";

/** Opens the server that a command calls. Asks the terminal for the password of a user if none is set. @throws CliError */
export async function openServer(choice: ServerChoice, io: Io): Promise<Downlease> {
  const { user, loginSessionId } = withoutEmpty(choice);
  if (loginSessionId !== undefined) return open(choice, io, { loginSessionId });
  const password = user === undefined ? undefined : await passwordOf({ ...choice, user }, io);
  return open(choice, io, { user, password });
}

/** The same for a command that logs in by itself. It sends a token or a certificate, but no password and no saved login. */
export function openServerToLogIn(choice: ServerChoice, io: Io): Promise<Downlease> {
  return open(choice, io, {});
}

async function open(choice: ServerChoice, io: Io, credentials: object): Promise<Downlease> {
  const { server: url, ca, cert, key } = withoutEmpty(choice);
  const token = secretOf("token", choice);
  const files = await Promise.all(
    Object.entries({ ca, cert, key }).map(([name, path]) =>
      path === undefined ? undefined : pem(name, path),
    ),
  );
  const options = { url, token, ca: files[0], cert: files[1], key: files[2], ...credentials };
  const trace = traceHeadersOf(io.environment);
  const environment = { proxyEnv: io.environment, traceHeaders: () => trace };
  try {
    return connect({ ...withoutEmpty(options), ...environment } as Parameters<typeof connect>[0]);
  } catch (error) {
    // Options that contradict each other, or files that TLS can't use.
    if (!(error instanceof Error)) throw error;
    throw new CliError("usage", visible(error.message));
  }
}

/** The password of the user; asks the terminal for it if none is set. @throws CliError */
export async function passwordOf(choice: ServerChoice & { readonly user: string }, io: Io): Promise<string> {
  return secretOf("password", choice) ?? (await askPassword(choice.user, choice.server, io));
}

/** A secret itself, or what is in the file that is named for it. @throws CliError */
function secretOf(name: ClientSecret, flags: ServerFlags): string | undefined {
  const file = flags[`${name}File`];
  if (!file) return flags[name] || undefined;
  if (flags[name]) throw new CliError("usage", `set either the ${name} or a file that holds it, not both`);
  try {
    return readSecretFile(file);
  } catch (error) {
    if (!(error instanceof SmallFileError)) throw error;
    throw new CliError("usage", `--${name}-file ${error.message}`);
  }
}

function withoutEmpty<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && value !== ""),
  ) as T;
}

async function pem(name: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CliError("usage", `--${name} ${visible(path)} can't be read: ${fileProblem(error)}`);
  }
}

async function askPassword(user: string, url: string, io: Io): Promise<string> {
  if (!io.stdin.isTTY) {
    throw new CliError(
      "usage",
      `the password of ${visible(user)} is needed: set ${passwordVariable} or --password-file`,
    );
  }
  const password = await askHidden(`Password of ${visible(user)} at ${visible(url)}: `, io);
  if (password === undefined) throw new CliError("interrupted", "no password was entered");
  return password;
}
