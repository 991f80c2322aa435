import type { Caller } from "../domain/session.ts";

/** The principal of every call while no authentication is configured. */
export const anonymous: Caller = Object.freeze({ principal: "anonymous", admin: false });
