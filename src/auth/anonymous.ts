import { isOfOwnPage } from "../calls/credentials.ts";
import { isForwarded } from "../calls/forwarded.ts";
import { ServiceError } from "../domain/errors.ts";
import { noRoles, rolesFrom } from "../domain/roles.ts";
import type { Authentication } from "./authenticator.ts";
import { ProvenCaller } from "./proven-caller.ts";

const anonymous = new ProvenCaller("anonymous", noRoles, "anonymous");
const operator = new ProvenCaller("anonymous", rolesFrom(["admin"]), "anonymous");

/**
 * Every caller is the principal `anonymous`, and logs in with any credentials or none.
 *
 * @param isLocal whether only programs on this machine reach the service: then they may administer it, but not
 *   pages of other origins, and nobody through a proxy of which the configuration says nothing
 */
export function noAuthentication(isLocal: boolean): Authentication {
  return {
    authenticate: () => anonymous,
    login: () => anonymous,
    administrate({ headers }) {
      if (isLocal && isOfOwnPage(headers) && !isForwarded(headers)) return operator;
      throw new ServiceError("downlease.admin.role");
    },
    users: new Map<string, never>(),
    async reload() {},
  };
}
