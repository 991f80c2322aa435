import type { Logger } from "pino";
import { noAuthentication } from "../auth/anonymous.ts";
import { type Authentication, Authenticator } from "../auth/authenticator.ts";
import { RemovedUsers } from "../auth/removed-users.ts";
import type { ClientAddressOf } from "../calls/client-address.ts";
import { isLoopback } from "../config/addresses.ts";
import type { Config } from "../config/settings.ts";
import type { Backend } from "../domain/backend.ts";
import { orStartError } from "./start-error.ts";
import type { Tracing } from "./tracing.ts";

export interface AuthenticationParts {
  readonly backend: Pick<Backend, "logins" | "sessions" | "sessionRecords">;
  readonly clientAddressOf: ClientAddressOf;
  readonly log: Logger;
  readonly tracing: Pick<Tracing, "outgoingHeaders">;
}

export interface OpenedAuthentication extends Authentication {
  close(): void;
}

/**
 * How callers are authenticated, until it is closed. A user who is removed from the users file loses what rests on it.
 *
 * @throws StartError
 */
export async function openAuthentication(
  config: Config,
  { backend, clientAddressOf, log, tracing }: AuthenticationParts,
): Promise<OpenedAuthentication> {
  const { auth, usersFile, jwt, mtls, login, host, corsOrigins } = config;
  if (auth === "none") {
    if (!isLoopback(host)) log.warn({ host }, "every caller that reaches this address is anonymous");
    return { ...noAuthentication(isLocal(config)), close() {} };
  }
  const { logins, sessions, sessionRecords: records } = backend;
  const isUser = (name: string): boolean => authenticator.users.has(name);
  const removed = new RemovedUsers({ sessions, records, logins, isUser, log });
  const authenticator = await orStartError(() =>
    Authenticator.open({
      methods: { usersFile, jwt, mtls },
      failureLimits: login.failures,
      logins,
      clientAddressOf,
      corsOrigins,
      onUsersRemoved: removed.end,
      traceHeaders: tracing.outgoingHeaders,
      log,
    }),
  );
  return {
    authenticate: authenticator.authenticate,
    login: authenticator.login,
    administrate: authenticator.administrate,
    get users() {
      return authenticator.users;
    },
    reload: () => authenticator.reload(),
    close() {
      removed.close();
      authenticator.close();
    },
  };
}

/** Whether only this machine reaches the service: not by another name, and not through a proxy, as far as is configured. */
function isLocal({ host, publicUrl, allowedHosts, trustedProxies }: Config): boolean {
  return (
    isLoopback(host) && publicUrl === undefined && allowedHosts.length === 0 && trustedProxies.length === 0
  );
}
