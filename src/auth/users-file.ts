import { createHash } from "node:crypto";
import { identifierRule, isIdentifier } from "../domain/identifiers.ts";
import { roles as allRoles, type Role, rolesFrom } from "../domain/roles.ts";
import { LiveFile } from "./live-file.ts";
import { type PasswordHash, parsePasswordHash } from "./password-hash.ts";
import { ProvenCaller } from "./proven-caller.ts";

/** A user as the file has it. */
export interface User {
  readonly name: string;
  /** As a PHC string. */
  readonly password: string;
  readonly roles: readonly string[];
}

/** A user as the authenticator needs it. */
export interface KnownUser {
  readonly hash: PasswordHash;
  /** Its proof holds for as long as the user has this password. */
  readonly caller: ProvenCaller;
}

export type KnownUsers = ReadonlyMap<string, KnownUser>;

export const maxUsersFileBytes = 1024 * 1024;

/** How the proofs of this method begin. */
export const userProof = "user:";

/** One line of the file: undefined when it has no user. @throws Error that says what is wrong with it */
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

/** HTTP's basic authentication leaves no place for a colon in a name (RFC 7617). */
export function isUserName(text: unknown): text is string {
  return isIdentifier(text) && !text.includes(":") && !text.startsWith("#") && text.trim() === text;
}

/** @throws Error that tells the line, and what is wrong with it */
export function parseUsers(text: string): User[] {
  const users = new Map<string, User>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    try {
      const user = parseUserLine(line);
      if (user === undefined) continue;
      if (users.has(user.name)) throw new Error("the user is there twice");
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
  readonly everyMs?: number;
}

/** The users as the file has them now. @throws Error when it can't be used */
export function openUsersFile({
  path,
  log,
  everyMs = 1000,
}: UsersFileOptions): Promise<LiveFile<KnownUsers>> {
  return LiveFile.open({
    path,
    maxBytes: maxUsersFileBytes,
    everyMs,
    parse: (text) => new Map(parseUsers(text).map((user) => [user.name, knownUser(user)])),
    onRead({ mode }) {
      if (mode & 0o004n) log.warn(`everybody on this machine can read ${path}: chmod o-r`);
    },
    onBroken: (reason) => log.error(`${path} can't be used, the users of before still hold: ${reason}`),
  });
}

function knownUser({ name, password, roles }: User): KnownUser {
  const digest = createHash("sha256").update(password).digest("base64url").slice(0, 22);
  const caller = new ProvenCaller(name, rolesFrom(roles), `${userProof}${digest}`);
  return { hash: parsePasswordHash(password), caller };
}
