import { type Role, rolesFrom } from "../../src/domain/roles.ts";
import type { Caller } from "../../src/domain/session.ts";

/** A caller of this name with these roles. */
export function callerNamed(principal: string, ...roles: Role[]): Caller {
  return { principal, roles: rolesFrom(roles) };
}
