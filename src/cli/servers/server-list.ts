import { readFile, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { makeDirectories } from "../../client/disk.ts";
import { replaceOwn } from "../../client/own-files.ts";
import { visible } from "../../client/printable.ts";
import { serverListPath } from "../../config/user-directories.ts";
import { CliError } from "../failure.ts";
import type { Environment } from "../io.ts";

/** A name never looks like a URL, and no shell changes it. */
export const serverName = /^[A-Za-z0-9_][\w.-]{0,63}$/;

const entrySchema = z.strictObject({
  url: z.string().min(1),
  user: z.string().min(1).optional(),
  token_file: z.string().min(1).optional(),
  password_file: z.string().min(1).optional(),
  ca: z.string().min(1).optional(),
  cert: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
});

const listSchema = z
  .strictObject({
    /** Name of the server that is called when no other is named. */
    default: z.string().optional(),
    servers: z.record(z.string().regex(serverName, "is not a name"), entrySchema),
  })
  .refine((list) => list.default === undefined || list.default in list.servers, {
    path: ["default"],
    message: "names no server of the list",
  });

/** A server with a name, and what is known about its caller; paths are absolute or relative to the directory of the list. */
export type ServerEntry = Readonly<z.infer<typeof entrySchema>>;
export type ServerList = z.infer<typeof listSchema>;

/** Reads the list of servers; empty when there is none. @throws CliError when it is wrong */
export async function readServerList(environment: Environment): Promise<ServerList> {
  const path = serverListPath(environment);
  const text = path && (await readIfPresent(path));
  if (!text) return { servers: {} };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new CliError("usage", `${visible(path)} is not JSON: ${visible((error as Error).message)}`);
  }
  const { data, error } = listSchema.safeParse(json);
  if (data !== undefined) return data;
  const { path: place, message } = error.issues[0]!;
  throw new CliError(
    "usage",
    visible(`${path} is wrong: ${[place.join("."), message].filter(Boolean).join(": ")}`),
  );
}

/** Changes the list of servers; creates it if there is none. @throws CliError */
export async function changeServerList(
  environment: Environment,
  change: (list: ServerList) => void,
): Promise<void> {
  const path = serverListPath(environment);
  if (path === undefined) {
    throw new CliError("usage", "there is no directory for the list of servers: set HOME or XDG_CONFIG_HOME");
  }
  const list = await readServerList(environment);
  change(list);
  await makeDirectories(dirname(path), 0o700);
  // A symbolic link is kept: configurations are often linked.
  const target = await realpath(path).catch(() => path);
  await replaceOwn(target, `${JSON.stringify(list, undefined, 2)}\n`);
}

/** The paths of an entry as absolute ones. */
export function withAbsolutePaths(entry: ServerEntry, directory: string): ServerEntry {
  const paths = ["token_file", "password_file", "ca", "cert", "key"] as const;
  const absolute = paths.flatMap((name) =>
    entry[name] === undefined ? [] : [[name, resolve(directory, entry[name])]],
  );
  return { ...entry, ...Object.fromEntries(absolute) };
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
