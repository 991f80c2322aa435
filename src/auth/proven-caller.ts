import { ServiceError } from "../domain/errors.ts";
import type { LoginStore } from "../domain/login-store.ts";
import type { Roles } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";

/** A caller that has just proven who it is. */
export class ProvenCaller implements Caller {
  readonly principal: string;
  readonly roles: Roles;
  /** What a login session of this caller rests on and must still hold. */
  readonly proof: string;

  constructor(principal: string, roles: Roles, proof: string) {
    this.principal = principal;
    this.roles = roles;
    this.proof = proof;
  }
}

const windowMs = 60_000;

/**
 * Opens login sessions, for callers that `Authentication.login` has returned.
 *
 * @param limits login sessions a minute that a principal may open, counted over all replicas; 0 for any number. An
 *   open one lives on while nobody uses it, so the rate bounds what a caller can leave in the store. Read at each use
 */
export function loginOpener(
  logins: Pick<LoginStore, "open" | "addFailure">,
  limits: { readonly loginsPerPrincipal: number },
): (caller: Caller) => Promise<string> {
  return async (caller) => {
    if (!(caller instanceof ProvenCaller)) throw new TypeError("the caller has not logged in");
    const { principal, roles, proof } = caller;
    const { loginsPerPrincipal: perPrincipal } = limits;
    if (perPrincipal > 0) {
      const { count, forgottenInMs } = await logins.addFailure(`opened ${principal}`, windowMs);
      if (count > perPrincipal) {
        throw new ServiceError("downlease.login.too_many", [
          String(Math.max(1, Math.ceil(forgottenInMs / 1000))),
        ]);
      }
    }
    return logins.open({ principal, roles, proof });
  };
}
