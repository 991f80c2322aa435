import { createHash } from "node:crypto";
import pLimit from "p-limit";
import { Admission, type ShareHolder } from "../calls/admission.ts";
import type { Call } from "../calls/call.ts";
import { type ClientAddressOf, networkOf } from "../calls/client-address.ts";
import { ServiceError } from "../domain/errors.ts";
import type { LoginStore } from "../domain/login-store.ts";
import type { BasicCredentials } from "./basic-credentials.ts";
import { hashPassword, type PasswordHash, parsePasswordHash, verifyPassword } from "./password-hash.ts";
import type { ProvenCaller } from "./proven-caller.ts";
import type { Accounts } from "./users-file.ts";

/** Failed logins that are accepted within a minute; 0 for any number. */
export interface FailureLimits {
  readonly perUser: number;
  readonly perAddress: number;
}

export interface PasswordLoginOptions {
  readonly users: { readonly value: Accounts };
  /** Counts the failures for all replicas. */
  readonly logins: Pick<LoginStore, "addFailure" | "removeFailure">;
  readonly limits: FailureLimits;
  readonly clientAddressOf: ClientAddressOf;
}

/** What one network has in flight. */
class NetworkShare implements ShareHolder {
  load = 0;
  /** Keeps the rest of its logins behind the first ones of others. */
  readonly turn = pLimit(maxConcurrent);
}

const windowMs = 60_000;

/** Concurrent computations: half of the threads that Node also uses for files and DNS; at most 256 MiB in all. */
const maxConcurrent = 2;
/** Logins that may wait for their turn; one more would wait for several seconds. */
const maxWaiting = 32;
const overloadPauseSeconds = 1;

/**
 * Checks names and passwords, with limits that protect the server and slow down guessing. Networks of clients have equal
 * shares of the places, and take turns: one that floods the service with logins delays those of others by one hash.
 */
export class PasswordLogin {
  readonly #options: PasswordLoginOptions;
  readonly #admission = new Admission(maxConcurrent + maxWaiting);
  /** Those that have logins in flight: no more than the admission lets in. */
  readonly #shares = new Map<string, NetworkShare>();
  readonly #turn = pLimit(maxConcurrent);
  /** The decoy while the file has no users. */
  #nobody: Promise<PasswordHash> | undefined;

  constructor(options: PasswordLoginOptions) {
    this.#options = options;
  }

  /**
   * The user, or undefined when the name or the password is wrong.
   *
   * @throws ServiceError after too many failures, or when too many logins wait already
   */
  async check(credentials: BasicCredentials, call: Call): Promise<ProvenCaller | undefined> {
    const network = networkOf(this.#options.clientAddressOf(call));
    const share = this.#shares.get(network) ?? new NetworkShare();
    if (!this.#admission.enter(share, 1)) {
      throw new ServiceError("downlease.login.overloaded", [String(overloadPauseSeconds)]);
    }
    this.#shares.set(network, share);
    try {
      return await share.turn(() => this.#turn(() => this.#check(credentials, network, call)));
    } finally {
      this.#admission.leave(share, 1);
      if (share.load === 0) this.#shares.delete(network);
    }
  }

  async #check(
    { name, password }: BasicCredentials,
    network: string,
    call: Call,
  ): Promise<ProvenCaller | undefined> {
    if (call.abortedWith !== undefined) throw new ServiceError(call.abortedWith);
    // Counts the attempt as a failure before checking it, so parallel guesses cannot slip under the limit; counts it
    // only once it runs, so queued logins with the right password do not count as failures.
    const keys = await this.#countFailure(name, network);
    const user = this.#options.users.value.get(name);
    const isRight = await verifyPassword(user?.hash ?? (await this.#decoy(name)), password);
    if (user === undefined || !isRight) return undefined;
    // If the store fails now, the count expires with its window.
    await Promise.all(keys.map((key) => this.#options.logins.removeFailure(key))).catch(() => {});
    return user.caller;
  }

  /**
   * Counts a failure for the network and the user, in this sequence: what a network sends above its limit is counted for
   * no user, so the store keeps few names. Returns the keys under which it is counted.
   */
  async #countFailure(name: string, network: string): Promise<readonly string[]> {
    const { perUser, perAddress } = this.#options.limits;
    const counted = [
      { key: `address ${network}`, limit: perAddress },
      { key: `user ${name}`, limit: perUser },
    ].filter(({ limit }) => limit > 0);
    for (const { key, limit } of counted) {
      const { count, forgottenInMs } = await this.#options.logins.addFailure(key, windowMs);
      if (count > limit) {
        const pauseSeconds = Math.max(1, Math.ceil(forgottenInMs / 1000));
        throw new ServiceError("downlease.login.too_many_failures", [String(pauseSeconds)]);
      }
    }
    return counted.map(({ key }) => key);
  }

  /**
   * The hash that the password of an unknown user is compared with: for a name always that of the same user, so that
   * neither the time of the comparison nor its variation between names reveals which users exist.
   */
  #decoy(name: string): PasswordHash | Promise<PasswordHash> {
    const users = [...this.#options.users.value.values()];
    const chosen = createHash("sha256").update(name).digest().readUInt32BE() % users.length;
    if (users.length > 0) return users[chosen]!.hash;
    this.#nobody ??= hashPassword("").then(parsePasswordHash);
    return this.#nobody;
  }
}
