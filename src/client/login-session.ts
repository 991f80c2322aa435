import { type Client, Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { farewellMs } from "./retry.ts";

const idHeader = "vmware-api-session-id";

interface Password {
  readonly user: string;
  readonly password: string;
}

/**
 * A login session that is opened when it is first needed, and anew when the server does not know it any more: it has
 * not been used for long, has reached its greatest age, or was closed.
 */
export class LoginSession {
  readonly #logins: Client<typeof SessionService>;
  readonly #credentials: string;
  #id: Promise<string> | undefined;

  /** @param logins calls the server without this login session */
  constructor(logins: Client<typeof SessionService>, { user, password }: Password) {
    this.#logins = logins;
    this.#credentials = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  }

  /** Sends the identifier with every call. A unary call that it does not open any more is repeated once. */
  get interceptor(): Interceptor {
    return (next) => async (request) => {
      const id = this.#opened();
      request.header.set(idHeader, await id);
      try {
        return await next(request);
      } catch (error) {
        if (request.stream || ConnectError.from(error).code !== Code.Unauthenticated) throw error;
        this.#forget(id);
        request.header.set(idHeader, await this.#opened());
        return await next(request);
      }
    };
  }

  /** Closes the login session, if one is open. A server that can't be reached is left to forget it by itself. */
  async close(): Promise<void> {
    const id = await this.#id?.catch(() => undefined);
    this.#id = undefined;
    if (id === undefined) return;
    await this.#logins.delete({}, { headers: { [idHeader]: id }, timeoutMs: farewellMs }).catch(() => {});
  }

  /** Calls that come while it is being opened wait for the same one. */
  #opened(): Promise<string> {
    if (this.#id !== undefined) return this.#id;
    const id = this.#logins
      .create({}, { headers: { authorization: this.#credentials } })
      .then(({ sessionId }) => sessionId);
    this.#id = id;
    id.catch(() => this.#forget(id));
    return id;
  }

  #forget(id: Promise<string>): void {
    if (this.#id === id) this.#id = undefined;
  }
}
