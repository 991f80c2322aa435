import { setTimeout as delay } from "node:timers/promises";
import pLimit from "p-limit";
import type { LoginStore } from "../domain/login-store.ts";
import { restsOnUser } from "../domain/proof.ts";
import { rolesFrom } from "../domain/roles.ts";
import type { Caller, Session } from "../domain/session.ts";
import type { SessionRecordStore } from "../domain/session-record-store.ts";
import type { SessionStore } from "../domain/session-store.ts";

export interface RemovedUsersOptions {
  readonly records: Pick<SessionRecordStore, "page">;
  readonly sessions: Pick<SessionStore, "finish">;
  readonly logins: Pick<LoginStore, "page" | "end">;
  /** Whether the users file has this user. */
  readonly isUser: (name: string) => boolean;
  readonly log: { info(members: object, message: string): void };
  /** Pause before a store that has failed is tried again, in milliseconds. */
  readonly retryMs?: number;
}

/** The service itself. */
const service: Caller = { principal: "users file", roles: rolesFrom(["admin"]) };

/** Sessions that are ended together. */
const maxConcurrent = 16;
const pageLength = 1000;

/**
 * Ends what rests on users that have been removed from the users file: their download sessions, as their owners cancel
 * them, and their login sessions. What the same principal owns by a token or a certificate stays. Every replica does this
 * when it notices a removal; what another one has ended already stays as it is.
 */
export class RemovedUsers {
  readonly #options: RemovedUsersOptions;
  readonly #stopping = new AbortController();

  constructor(options: RemovedUsersOptions) {
    this.#options = options;
  }

  /** Goes on until the store has answered, the users are back, or it is closed. */
  readonly end = (names: readonly string[]): void => {
    for (const name of names) void this.#endUntilDone(name);
  };

  close(): void {
    this.#stopping.abort();
  }

  async #endUntilDone(name: string): Promise<void> {
    const { isUser, log, retryMs = 1000 } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted && !isUser(name)) {
      try {
        const [sessions, logins] = await Promise.all([this.#endSessions(name), this.#endLogins(name)]);
        log.info({ user: name, sessions, logins }, "a user was removed; what rested on it has ended");
        return;
      } catch {
        await delay(retryMs, undefined, { signal, ref: false }).catch(() => {});
      }
    }
  }

  async #endSessions(owner: string): Promise<number> {
    const { records, sessions } = this.#options;
    const limit = pLimit(maxConcurrent);
    const matches = ({ endsWithUser, state }: Session) => endsWithUser === true && state === "ACTIVE";
    let ended = 0;
    let cursor: string | undefined;
    do {
      const page = await records.page({ owner, matches, cursor, maxSessions: pageLength });
      const results = await limit.map(page.sessions, ({ id }) => sessions.finish(id, service, "CANCELED"));
      ended += results.filter(({ outcome }) => outcome === "finished").length;
      ({ cursor } = page);
    } while (cursor !== undefined);
    return ended;
  }

  async #endLogins(principal: string): Promise<number> {
    const { logins } = this.#options;
    let ended = 0;
    let cursor: string | undefined;
    do {
      const page = await logins.page({ principal, maxLogins: pageLength, cursor });
      const digests = page.logins.flatMap(({ digest, proof }) => (restsOnUser(proof) ? [digest] : []));
      ended += await logins.end(digests);
      ({ cursor } = page);
    } while (cursor !== undefined);
    return ended;
  }
}
