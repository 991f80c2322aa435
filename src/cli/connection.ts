import { readFile } from "node:fs/promises";
import { connect, type Downlease } from "../client/connect.ts";
import type { ClientSetting } from "../config/client-settings.ts";
import { CliError } from "./failure.ts";
import { askHidden } from "./hidden-input.ts";
import { visible } from "./text.ts";

/** What the command line and the variables say of the server, as given; empty texts are unset. */
export type ServerFlags = Readonly<Partial<Record<ClientSetting["name"], string>>>;

/**
 * The server that a command is to call. Asks for the password of a user when none is set.
 *
 * @throws CliError
 */
export async function openServer(flags: ServerFlags): Promise<Downlease> {
  const { server: url = "", token, user, ca, cert, key } = withoutEmpty(flags);
  const files = await Promise.all(
    [ca, cert, key].map((path) => (path === undefined ? undefined : pem(path))),
  );
  const password = user === undefined ? undefined : flags.password || (await askPassword(user, url));
  const options = { url, token, user, password, ca: files[0], cert: files[1], key: files[2] };
  try {
    return connect(withoutEmpty(options) as Parameters<typeof connect>[0]);
  } catch (error) {
    // What the options say against each other, or no TLS can be made of.
    if (!(error instanceof Error)) throw error;
    throw new CliError("usage", visible(error.message));
  }
}

function withoutEmpty<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && value !== ""),
  ) as T;
}

async function pem(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CliError("usage", visible((error as Error).message));
  }
}

async function askPassword(user: string, url: string): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new CliError("usage", `the password of ${visible(user)} is needed: set DOWNLEASE_PASSWORD`);
  }
  const password = await askHidden(`Password of ${visible(user)} at ${visible(url)}: `);
  if (password === undefined) throw new CliError("interrupted", "no password was given");
  return password;
}
