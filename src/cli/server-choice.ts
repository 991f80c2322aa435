import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { visible } from "../client/printable.ts";
import { defaultServer } from "../config/client-settings.ts";
import { serverListPath } from "../config/user-directories.ts";
import { CliError } from "./failure.ts";
import type { Environment } from "./io.ts";
import { findLogin } from "./login/saved-logins.ts";
import type { ServerFlags } from "./server-options.ts";
import type { ServerEntry } from "./servers/server-list.ts";

/** The server that a command calls, by its URL, and the credentials of its caller. */
export interface ServerChoice extends ServerFlags {
  readonly server: string;
  /** Id of a saved login session, which is used when there are no other credentials. */
  readonly loginSessionId?: string;
}

/**
 * Completes the server settings of the command line and the variables from the list of servers and the saved logins.
 *
 * @throws CliError
 */
export async function chooseServer(flags: ServerFlags, environment: Environment): Promise<ServerChoice> {
  const entry = await entryFor(flags.server, environment);
  const server = entry?.url ?? flags.server ?? defaultServer;
  const choice = { ...flags, ...(entry && fromEntry(entry, flags)), server };
  const { token, tokenFile, password, passwordFile, cert } = choice;
  const hasCredentials = [flags.user, token, tokenFile, password, passwordFile, cert].some(
    (each) => each !== undefined,
  );
  const login = hasCredentials ? undefined : await findLogin(server, environment);
  // The list may name another user than the one who has logged in.
  if (login === undefined || (choice.user ?? login.user) !== login.user) return choice;
  const { user: _, ...others } = choice;
  return { ...others, loginSessionId: login.sessionId };
}

/** The entry of the named server, or of the default server when none is named. Undefined for a URL. */
async function entryFor(
  name: string | undefined,
  environment: Environment,
): Promise<ServerEntry | undefined> {
  const path = serverListPath(environment);
  // Most users have no list; only those wait until the code that checks it is loaded.
  if (name?.includes(":") || path === undefined || !existsSync(path)) return undefined;
  const { readServerList, serverName, withAbsolutePaths } = await import("./servers/server-list.ts");
  const list = await readServerList(environment);
  const key = name ?? list.default;
  if (key === undefined) return undefined;
  const entry = Object.hasOwn(list.servers, key) ? list.servers[key] : undefined;
  if (entry !== undefined) return withAbsolutePaths(entry, dirname(path));
  if (!serverName.test(key)) return undefined;
  const names = Object.keys(list.servers);
  const known = names.length === 0 ? "is empty" : `has ${visible(names.join(", "))}`;
  throw new CliError(
    "usage",
    `there is no server '${visible(key)}': the list of servers ${known}. Add it with downlease servers add, or use its URL.`,
  );
}

/** Settings of an entry, without credentials that stronger ones replace. */
function fromEntry(entry: ServerEntry, flags: ServerFlags): ServerFlags {
  const { user, token_file, password_file, ca, cert, key } = entry;
  const hasCertificate = flags.cert !== undefined || flags.key !== undefined;
  const replaced = [flags.user, flags.token, flags.tokenFile].some((each) => each !== undefined);
  const settings = {
    ca: flags.ca ?? ca,
    ...(!hasCertificate && { cert, key }),
    ...(!replaced && { user, tokenFile: token_file }),
    ...(!replaced && flags.password === undefined && { passwordFile: flags.passwordFile ?? password_file }),
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}
