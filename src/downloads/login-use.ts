import type { IncomingHttpHeaders } from "node:http";
import { HeaderCredentials, loginIdOf } from "../calls/credentials.ts";
import type { LoginStore } from "../domain/login-store.ts";

export interface Logins {
  readonly store: Pick<LoginStore, "find">;
  /** How long a login session lives without being used. */
  readonly idleMs: number;
}

/**
 * Counts the bytes of a download as use of the login session that its request carries: the first ones, then once a
 * quarter of the idle time while bytes move, and the last ones. The login session proves nothing here, because the link
 * carries its own right: one that does not exist is ignored.
 */
export class LoginUse {
  readonly #id: string;
  readonly #logins: Logins;
  #useAt = Number.NEGATIVE_INFINITY;
  /** Whether bytes have moved since the last use. */
  #isDue = false;
  #isGone = false;

  private constructor(id: string, logins: Logins) {
    this.#id = id;
    this.#logins = logins;
  }

  /** Undefined when the request carries no login session. */
  static of(headers: IncomingHttpHeaders, logins: Logins): LoginUse | undefined {
    const id = loginIdOf(new HeaderCredentials(headers), headers);
    return id === undefined ? undefined : new LoginUse(id, logins);
  }

  /** Bytes have moved. */
  moved(): void {
    this.#isDue = true;
    if (performance.now() >= this.#useAt) void this.#use();
  }

  /** The download has ended. */
  end(): void {
    if (this.#isDue) void this.#use();
  }

  async #use(): Promise<void> {
    if (this.#isGone) return;
    this.#isDue = false;
    const { store, idleMs } = this.#logins;
    this.#useAt = performance.now() + idleMs / 4;
    try {
      this.#isGone = (await store.find(this.#id)) === undefined;
    } catch {
      // A store that does not answer: the next bytes count again.
    }
  }
}
