import { readFile } from "node:fs/promises";
import { connect, type Downlease } from "../client/connect.ts";
import { visible } from "../client/printable.ts";
import { type ClientSecret, type ClientSetting, passwordVariable } from "../config/client-settings.ts";
import { readSecretFile, SecretFileError } from "../config/secret-file.ts";
import { CliError } from "./failure.ts";
import { fileProblem } from "./file-problem.ts";
import { askHidden } from "./hidden-input.ts";
import type { Io } from "./io.ts";

/** The server settings of the command line and the variables, unchecked; an empty text is unset. */
export type ServerFlags = Readonly<Partial<Record<ClientSetting["name"], string>>>;

/**
 * Opens the server that a command calls. Asks the terminal for the password of a user if none is set.
 *
 * @throws CliError
 */
export async function openServer(flags: ServerFlags, io: Io): Promise<Downlease> {
  const { server: url = "", user, ca, cert, key } = withoutEmpty(flags);
  const token = secretOf("token", flags);
  const files = await Promise.all(
    Object.entries({ ca, cert, key }).map(([name, path]) =>
      path === undefined ? undefined : pem(name, path),
    ),
  );
  const password =
    user === undefined ? undefined : (secretOf("password", flags) ?? (await askPassword(user, url, io)));
  const options = { url, token, user, password, ca: files[0], cert: files[1], key: files[2] };
  const environment = { proxyEnv: io.environment };
  try {
    return connect({ ...withoutEmpty(options), ...environment } as Parameters<typeof connect>[0]);
  } catch (error) {
    // Options that contradict each other, or files that TLS can't use.
    if (!(error instanceof Error)) throw error;
    throw new CliError("usage", visible(error.message));
  }
}

/** A secret itself, or what is in the file that is named for it. @throws CliError */
function secretOf(name: ClientSecret, flags: ServerFlags): string | undefined {
  const file = flags[`${name}File`];
  if (!file) return flags[name] || undefined;
  if (flags[name]) throw new CliError("usage", `set either the ${name} or a file that holds it, not both`);
  try {
    return readSecretFile(file);
  } catch (error) {
    if (!(error instanceof SecretFileError)) throw error;
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
