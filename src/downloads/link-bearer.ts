import { rolesFrom } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";

/** Who looks at a session for a link: whoever has the link, whoever that is. */
export const linkBearer: Caller = { principal: "bearer of a link", roles: rolesFrom(["admin"]) };
