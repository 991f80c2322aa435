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

/** Opens login sessions, for callers that `Authentication.login` has returned. */
export function loginOpener(logins: Pick<LoginStore, "open">): (caller: Caller) => Promise<string> {
  return async (caller) => {
    if (!(caller instanceof ProvenCaller)) throw new TypeError("the caller has not logged in");
    const { principal, roles, proof } = caller;
    return logins.open({ principal, roles, proof });
  };
}
