import { resolve } from "node:path";
import { connect } from "../../client/connect.ts";
import { visible } from "../../client/printable.ts";
import { CliError } from "../failure.ts";
import { allLogins, serverKey } from "../login/saved-logins.ts";
import type { LocalTask } from "../run.ts";
import { table } from "../text.ts";
import { changeServerList, readServerList, type ServerEntry, serverName } from "./server-list.ts";

export interface AddFlags {
  readonly user?: string;
  readonly tokenFile?: string;
  readonly passwordFile?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly default?: boolean;
}

export async function list({ io, output }: LocalTask): Promise<void> {
  const [{ default: usual, servers }, logins] = await Promise.all([
    readServerList(io.environment),
    allLogins(io.environment),
  ]);
  const loggedIn = new Set(logins.map(({ server }) => server));
  const rows = Object.entries(servers).map(([name, { url, user }]) => ({
    name,
    url,
    user,
    default: name === usual,
    logged_in: loggedIn.has(serverKey(url)),
  }));
  if (output.isJson) for (const row of rows) output.json(row);
  else {
    output.lines(
      table(
        [
          { title: "NAME" },
          { title: "URL", shrinks: true },
          { title: "USER", drop: 1 },
          { title: "NOTES", drop: 2 },
        ],
        rows.map((row) => [
          row.name,
          row.url,
          row.user ?? "",
          [row.default && "default", row.logged_in && "logged in"].filter(Boolean).join(", "),
        ]),
        output.width,
      ),
    );
  }
}

export async function add({ io, output, flags, operands }: LocalTask<AddFlags>): Promise<void> {
  const [name, url] = operands as [string, string];
  if (!serverName.test(name)) {
    throw new CliError(
      "usage",
      `'${visible(name)}' can't be a name: use letters, digits, hyphens, dots and underscores`,
    );
  }
  const entry = entryOf(await checkedUrl(url), flags);
  let isNew = true;
  await changeServerList(io.environment, (servers) => {
    isNew = !Object.hasOwn(servers.servers, name);
    servers.servers[name] = entry;
    if (flags.default) servers.default = name;
  });
  if (output.isJson) output.json({ name, url: entry.url, changed: !isNew });
  else output.lines([`${name} is ${isNew ? "added" : "changed"}`]);
}

export async function remove({ io, output, operands }: LocalTask): Promise<void> {
  const name = operands[0]!;
  await changeServerList(io.environment, (servers) => {
    if (!Object.hasOwn(servers.servers, name)) {
      throw new CliError("not_found", `there is no server '${visible(name)}'. See downlease servers.`);
    }
    delete servers.servers[name];
    if (servers.default === name) delete servers.default;
  });
  if (output.isJson) output.json({ name, removed: true });
  else output.lines([`${name} is removed`]);
}

async function checkedUrl(url: string): Promise<string> {
  try {
    await using server = connect({ url });
    return server.url;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new CliError("usage", visible(error.message));
  }
}

/** Paths are kept as absolute ones, because commands run in any directory. */
function entryOf(url: string, { user, tokenFile, passwordFile, ca, cert, key }: AddFlags): ServerEntry {
  const files = { token_file: tokenFile, password_file: passwordFile, ca, cert, key };
  const paths = Object.entries(files).flatMap(([member, path]) => (path ? [[member, resolve(path)]] : []));
  return { url, ...(user && { user }), ...Object.fromEntries(paths) };
}
