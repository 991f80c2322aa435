import { createHash } from "node:crypto";
import { identifierRule, isIdentifier } from "../domain/identifiers.ts";
import { proofPrefixes } from "../domain/proof.ts";
import { roles as allRoles, type Role, rolesFrom } from "../domain/roles.ts";
import { type PasswordHash, parsePasswordHash } from "./password-hash.ts";
import { ProvenCaller } from "./proven-caller.ts";
import { WatchedFile } from "./watched-file.ts";

/** A line of the users file. */
export interface User {
  readonly name: string;
  /** As a PHC string. */
  readonly password: string;
  readonly roles: readonly string[];
}

/** A user as the authenticator needs it. */
export interface Account {
  readonly hash: PasswordHash;
  /** Its proof holds for as long as the user has this password. */
  readonly caller: ProvenCaller;
}

export type Accounts = ReadonlyMap<string, Account>;

export const maxUsersFileBytes = 1024 * 1024;

/** Parses a line; undefined for comments and blank lines. @throws Error that says what is wrong with it */
export function parseUserLine(line: string): User | undefined {
  if (/^\s*(#|$)/.test(line)) return undefined;
  const [name, password, roles = "", ...rest] = line.trimEnd().normalize("NFC").split(":");
  if (rest.length > 0 || password === undefined) throw new Error("a line is name:password-hash:roles");
  if (!isUserName(name)) throw new Error(`the name must be ${userNameRule}`);
  parsePasswordHash(password);
  const list = roles === "" ? [] : roles.split(",");
  const unknown = list.find((role) => !allRoles.includes(role as Role));
  if (unknown !== undefined) throw new Error(`there is no role '${unknown}', only ${allRoles.join(" and ")}`);
  return { name, password, roles: list };
}

export function formatUserLine({ name, password, roles }: User): string {
  return `${name}:${password}:${roles.join(",")}`;
}

export const userNameRule = `${identifierRule} or ':', not starting with '#', neither starting nor ending with white space`;

/** Basic authentication allows no colon in a name (RFC 7617). */
export function isUserName(text: unknown): text is string {
  return isIdentifier(text) && !text.includes(":") && !text.startsWith("#") && text.trim() === text;
}

/** @throws Error with the line number and what is wrong with the line */
export function parseUsers(text: string): User[] {
  const users = new Map<string, User>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    try {
      const user = parseUserLine(line);
      if (user === undefined) continue;
      if (users.has(user.name)) throw new Error("the user is defined twice");
      users.set(user.name, user);
    } catch (error) {
      throw new Error(`line ${index + 1}: ${(error as Error).message}`);
    }
  }
  return [...users.values()];
}

export interface UsersFileOptions {
  readonly path: string;
  readonly log: { warn(message: string): void; error(message: string): void };
  /** Called with the names of users that are not in the file any more. */
  readonly onRemoved?: ((names: readonly string[]) => void) | undefined;
  readonly pollMs?: number;
}

/**
 * Opens the users file; it is read again when it changes. One that is emptied by a full disk must not end what its users
 * do: to remove all of them, leave a comment. @throws Error when it can't be used
 */
export function openUsersFile({
  path,
  log,
  onRemoved,
  pollMs = 1000,
}: UsersFileOptions): Promise<WatchedFile<Accounts>> {
  let hadUsers = false;
  return WatchedFile.open({
    path,
    maxBytes: maxUsersFileBytes,
    pollMs,
    parse(text) {
      if (text === "" && hadUsers) throw new Error("it is empty; a comment has to stay when all users go");
      const accounts = new Map(parseUsers(text).map((user) => [user.name, accountOf(user)]));
      hadUsers = accounts.size > 0;
      return accounts;
    },
    onRead({ mode }) {
      if (mode & 0o004n) log.warn(`everybody on this machine can read ${path}: chmod o-r`);
    },
    onChange(users, previous) {
      const removed = [...previous.keys()].filter((name) => !users.has(name));
      if (removed.length > 0) onRemoved?.(removed);
    },
    onBroken: (reason) => log.error(`${path} is invalid; keeping the previous users: ${reason}`),
  });
}

function accountOf({ name, password, roles }: User): Account {
  const digest = createHash("sha256").update(password).digest("base64url").slice(0, 22);
  const caller = new ProvenCaller(name, rolesFrom(roles), `${proofPrefixes.user}${digest}`);
  return { hash: parsePasswordHash(password), caller };
}
