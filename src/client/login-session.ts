import { type Client, Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { callTimeoutMs, finalCallTimeoutMs } from "./retry.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** Header of a call that carries the id of a login session. */
export const idHeader = "vmware-api-session-id";
/** Ids are sent back in a header. */
export const headerValue = /^[!-~]{1,1024}$/;

/** Value of the `authorization` header that opens a login session. */
export function basicCredentials(user: string, password: string): string {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
}

interface Password {
  readonly user: string;
  readonly password: string;
}

/**
 * A login session, opened by the first call. It is opened again if the server no longer accepts it: it was idle for too
 * long, has reached its maximum age, or was closed.
 */
export class LoginSession {
  readonly #logins: Client<typeof SessionService>;
  readonly #credentials: string;
  readonly #closed = new AbortController();
  #id: Promise<string> | undefined;

  /** @param logins client that does not use this login session */
  constructor(logins: Client<typeof SessionService>, { user, password }: Password) {
    this.#logins = logins;
    this.#credentials = basicCredentials(user, password);
  }

  /** Sends the identifier with every call. A unary call that is refused as unauthenticated is repeated once, with a new login session. */
  get interceptor(): Interceptor {
    return (next) => async (request) => {
      const id = this.#open();
      request.header.set(idHeader, await unlessAborted(id, request.signal));
      try {
        return await next(request);
      } catch (error) {
        if (request.stream || ConnectError.from(error).code !== Code.Unauthenticated) throw error;
        this.#forget(id);
        request.header.set(idHeader, await unlessAborted(this.#open(), request.signal));
        return await next(request);
      }
    };
  }

  /** Closes the login session if one is open, and aborts an attempt to open one. If the server is unreachable, the login session expires there by itself. */
  async close(): Promise<void> {
    this.#closed.abort();
    const id = await this.#id?.catch(() => undefined);
    this.#id = undefined;
    if (id === undefined) return;
    await this.#logins
      .delete({}, { headers: { [idHeader]: id }, timeoutMs: finalCallTimeoutMs })
      .catch(() => {});
  }

  /** Opens the login session, or returns the open one. Concurrent calls share one attempt. */
  #open(): Promise<string> {
    if (this.#id !== undefined) return this.#id;
    const id = this.#logins
      .create(
        {},
        {
          headers: { authorization: this.#credentials },
          timeoutMs: callTimeoutMs,
          signal: this.#closed.signal,
        },
      )
      .then(({ sessionId }) => {
        if (headerValue.test(sessionId)) return sessionId;
        throw new ConnectError(
          "the server opened a login session without a valid id",
          Code.FailedPrecondition,
        );
      });
    this.#id = id;
    id.catch(() => this.#forget(id));
    return id;
  }

  #forget(id: Promise<string>): void {
    if (this.#id === id) this.#id = undefined;
  }
}

/** Sends the id of a login session that was opened elsewhere. A call that is refused as unauthenticated rejects with that reason. */
export function withLoginSession(id: string): Interceptor {
  return (next) => async (request) => {
    request.header.set(idHeader, id);
    try {
      return await next(request);
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code !== Code.Unauthenticated) throw error;
      throw new ConnectError(
        "The login session has expired or was closed.",
        code,
        undefined,
        undefined,
        error,
      );
    }
  };
}
