import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectories } from "../../client/disk.ts";
import { headerValue } from "../../client/login-session.ts";
import { openOwnToRead, replaceOwn } from "../../client/own-files.ts";
import { loginsDirectory } from "../../config/user-directories.ts";
import { CliError } from "../failure.ts";
import type { Environment } from "../io.ts";

/** An open login session that commands use until it ends. Anyone who holds its id acts as its user. */
export interface SavedLogin {
  /** URL as `serverKey` gives it. */
  readonly server: string;
  /** The name that was logged in with; unset for a token or a certificate. */
  readonly user?: string;
  readonly sessionId: string;
}

/** A larger file is not a saved login. */
const maxBytes = 65_536;

/** The saved login for a server. A file that is not valid counts as missing. @throws DownloadError if it is foreign */
export async function findLogin(server: string, environment: Environment): Promise<SavedLogin | undefined> {
  const path = pathOf(server, environment);
  const login = path && (await readLogin(path));
  return login && login.server === serverKey(server) ? login : undefined;
}

/** Saves a login in a file of its own, readable for the owner only. @throws CliError, DownloadError */
export async function saveLogin(login: SavedLogin, environment: Environment): Promise<void> {
  const path = pathOf(login.server, environment);
  if (path === undefined) {
    throw new CliError("usage", "there is no directory for saved logins: set HOME or XDG_STATE_HOME");
  }
  await makeDirectories(dirname(path), 0o700);
  await replaceOwn(path, `${JSON.stringify({ ...login, server: serverKey(login.server) }, undefined, 2)}\n`);
}

export async function removeLogin(server: string, environment: Environment): Promise<void> {
  const path = pathOf(server, environment);
  if (path !== undefined) await rm(path, { force: true });
}

/** Every saved login. */
export async function allLogins(environment: Environment): Promise<SavedLogin[]> {
  const directory = loginsDirectory(environment);
  const names = directory === undefined ? [] : await readdir(directory).catch(() => []);
  const logins = await Promise.all(
    names.filter((name) => name.endsWith(".json")).map((name) => readLogin(join(directory!, name))),
  );
  return logins.filter((login) => login !== undefined);
}

/** One text for every way to write a URL. */
export function serverKey(server: string): string {
  return URL.canParse(server) ? new URL(server).href.replace(/\/+$/, "") : server;
}

function pathOf(server: string, environment: Environment): string | undefined {
  const directory = loginsDirectory(environment);
  const digest = createHash("sha256").update(serverKey(server)).digest("hex").slice(0, 32);
  return directory && join(directory, `${digest}.json`);
}

async function readLogin(path: string): Promise<SavedLogin | undefined> {
  try {
    await using file = await openOwnToRead(path);
    if ((await file.stat()).size > maxBytes) return undefined;
    const { server, user, sessionId } = JSON.parse(await file.readFile("utf8")) as Record<string, unknown>;
    if (typeof server !== "string" || typeof sessionId !== "string" || !headerValue.test(sessionId))
      return undefined;
    return { server, sessionId, ...(typeof user === "string" && { user }) };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
