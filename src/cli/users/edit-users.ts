import { constants } from "node:fs";
import { open, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import {
  formatUserLine,
  isUserName,
  maxUsersFileBytes,
  parseUserLine,
  parseUsers,
  type User,
  userNameRule,
} from "../../auth/users-file.ts";
import { fileProblem } from "../file-problem.ts";

/** A failure to read or change the users file. The message is for the user of the command. */
export class UsersError extends Error {
  override readonly name = "UsersError";
}

/** @throws UsersError */
export async function listUsers(path: string): Promise<User[]> {
  return parse(path, await explainFailure(path, readFile(path, "utf8")));
}

/**
 * Adds a user, or changes password and roles of the user of this name. Creates the file if it does not exist.
 *
 * @throws UsersError
 */
export async function putUser(path: string, user: User): Promise<"added" | "changed"> {
  let outcome: "added" | "changed" = "added";
  await edit(path, { mayBeNew: true }, (lines) => {
    const index = lines.findIndex((line) => parseUserLine(line)?.name === user.name);
    if (index < 0) return [...lines, formatUserLine(user)];
    outcome = "changed";
    return lines.with(index, formatUserLine(user));
  });
  return outcome;
}

/** @throws UsersError also if there is no such user */
export async function removeUser(path: string, name: string): Promise<void> {
  await edit(path, { mayBeNew: false }, (lines) => {
    const others = lines.filter((line) => parseUserLine(line)?.name !== name);
    if (others.length === lines.length) throw new UsersError(`there is no user ${name} in ${path}`);
    return others;
  });
}

/** Of the name of the new file that replaces the old one. */
const draftSuffix = ".new";

/** The name in the form that the file has (NFC). @throws UsersError */
export function userName(text: string): string {
  const name = text.normalize("NFC");
  if (!isUserName(name)) throw new UsersError(`the name must be ${userNameRule}`);
  return name;
}

/** Stands in a file without users: the service takes an empty one for a file that was damaged. */
const nobody = "# There are no users.";

/**
 * Replaces the file, so that no reader sees half of it. The name of the new file keeps other commands from changing the users at the
 * same time. The new file has owner and mode of the old one, but no permissions for others.
 */
async function edit(
  path: string,
  { mayBeNew }: { readonly mayBeNew: boolean },
  change: (lines: readonly string[]) => readonly string[],
): Promise<void> {
  const old = await explainFailure(path, statOf(path, mayBeNew));
  // A symbolic link is kept.
  const target = old === undefined ? path : await realpath(path);
  const draft = target + draftSuffix;
  const file = await explainFailure(draft, open(draft, "wx", 0o600));
  try {
    const text = old === undefined ? "" : await explainFailure(path, readFile(target, "utf8"));
    parse(path, text);
    const lines = change(text === "" ? [] : text.replace(/\r?\n$/, "").split(/\r?\n/));
    const changed = (lines.length === 0 ? [nobody] : lines).map((line) => `${line}\n`).join("");
    if (Buffer.byteLength(changed) > maxUsersFileBytes) {
      throw new UsersError(`${path} would be larger than ${maxUsersFileBytes} bytes`);
    }
    if (old !== undefined) {
      await file.chown(old.uid, old.gid);
      await file.chmod(old.mode & (constants.S_IRWXU | constants.S_IRWXG));
    }
    await file.writeFile(changed);
    await file.sync();
    await file.close();
    await rename(draft, target);
  } catch (error) {
    await file.close();
    await rm(draft, { force: true });
    throw error;
  }
}

async function statOf(path: string, mayBeNew: boolean) {
  try {
    return await stat(path);
  } catch (error) {
    if (mayBeNew && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function parse(path: string, text: string): User[] {
  try {
    return parseUsers(text);
  } catch (error) {
    throw new UsersError(`${path} is invalid: ${(error as Error).message}`);
  }
}

async function explainFailure<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && !path.endsWith(draftSuffix)) {
      throw new UsersError(`${path} does not exist. downlease users add creates it with its first user`);
    }
    if (code !== "EEXIST") throw new UsersError(`${path} can't be used: ${fileProblem(error)}`);
    throw new UsersError(
      `${path} exists: another command is changing the users. If none is, one was interrupted: remove the file`,
    );
  }
}
