import { createHash } from "node:crypto";
import { isIPv6 } from "node:net";
import pLimit from "p-limit";
import type { Call } from "../calls/call.ts";
import { ServiceError } from "../domain/errors.ts";
import type { LoginStore } from "../domain/login-store.ts";
import type { BasicCredentials } from "./basic-credentials.ts";
import { hashPassword, type PasswordHash, parsePasswordHash, verifyPassword } from "./password-hash.ts";
import type { ProvenCaller } from "./proven-caller.ts";
import type { KnownUsers } from "./users-file.ts";

/** How many failures to log in are accepted within a minute; 0: any number. */
export interface FailureLimits {
  readonly perUser: number;
  readonly perAddress: number;
}

export interface PasswordLoginOptions {
  readonly users: { readonly value: KnownUsers };
  /** Counts the failures for all replicas. */
  readonly logins: Pick<LoginStore, "addFailure" | "removeFailure">;
  readonly limits: FailureLimits;
}

const windowMs = 60_000;

/** Computations at a time: half of the threads that Node has for files and names, too; at most 256 MiB. */
const atATime = 2;
/** Who comes later would wait for more than some seconds. */
const mostWaiting = 32;
const overloadPauseSeconds = 1;

/** Checks names and passwords, no faster than is good for the server and bad for those who guess. */
export class PasswordLogin {
  readonly #options: PasswordLoginOptions;
  readonly #turn = pLimit(atATime);
  /** Stands in for a user while there is none. */
  #nobody: Promise<PasswordHash> | undefined;

  constructor(options: PasswordLoginOptions) {
    this.#options = options;
  }

  /**
   * The user; undefined when name or password is wrong, whichever it is.
   *
   * @throws ServiceError after too many failures, or when too many wait already
   */
  async check(credentials: BasicCredentials, call: Call): Promise<ProvenCaller | undefined> {
    if (this.#turn.pendingCount >= mostWaiting) {
      throw new ServiceError("downlease.login.overloaded", [String(overloadPauseSeconds)]);
    }
    return this.#turn(() => this.#check(credentials, call));
  }

  async #check({ name, password }: BasicCredentials, call: Call): Promise<ProvenCaller | undefined> {
    if (call.abortedWith !== undefined) throw new ServiceError(call.abortedWith);
    // Counted before it is known to be one, so that many at a time are not taken for few, and only when it has its turn, so
    // that many good ones at a time are not taken for failures.
    const keys = await this.#countFailure(name, call.connection.peer);
    const user = this.#options.users.value.get(name);
    const isRight = await verifyPassword(user?.hash ?? (await this.#decoy(name)), password);
    if (user === undefined || !isRight) return undefined;
    // If the store does not answer any more, the failure is forgotten a little later.
    await Promise.all(keys.map((key) => this.#options.logins.removeFailure(key))).catch(() => {});
    return user.caller;
  }

  /** Gives the keys under which it is counted. */
  async #countFailure(name: string, peer: string): Promise<readonly string[]> {
    const { perUser, perAddress } = this.#options.limits;
    const counted = [
      { key: `user ${name}`, limit: perUser },
      { key: `address ${networkOf(peer)}`, limit: perAddress },
    ].filter(({ limit }) => limit > 0);
    const failures = await Promise.all(
      counted.map(({ key }) => this.#options.logins.addFailure(key, windowMs)),
    );
    const pauses = failures
      .filter(({ count }, index) => count > counted[index]!.limit)
      .map(({ forgottenInMs }) => Math.max(1, Math.ceil(forgottenInMs / 1000)));
    if (pauses.length > 0) {
      throw new ServiceError("downlease.login.too_many_failures", [String(Math.max(...pauses))]);
    }
    return counted.map(({ key }) => key);
  }

  /**
   * What the password of an unknown user is compared with, in vain: always the same user's, so that neither the time it
   * takes nor how that varies from name to name tells who exists.
   */
  #decoy(name: string): PasswordHash | Promise<PasswordHash> {
    const users = [...this.#options.users.value.values()];
    const chosen = createHash("sha256").update(name).digest().readUInt32BE() % users.length;
    if (users.length > 0) return users[chosen]!.hash;
    this.#nobody ??= hashPassword("").then(parsePasswordHash);
    return this.#nobody;
  }
}

/** An IPv4 address, or the first 64 bits of an IPv6 address: whoever has one has all the others. */
export function networkOf(peer: string): string {
  const [, ipv4] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(peer) ?? [];
  if (ipv4 !== undefined) return ipv4;
  if (!isIPv6(peer)) return peer;
  const [head = "", tail] = peer.split("::");
  const groups = head === "" ? [] : head.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(":").length;
  const all = [...groups, ...Array<string>(Math.max(0, zeros)).fill("0"), ...(tail?.split(":") ?? [])];
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group || "0", 16).toString(16))
    .join(":");
}
