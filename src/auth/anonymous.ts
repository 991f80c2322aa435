import type { Caller } from "../domain/session.ts";
import type { Authentication } from "./authenticator.ts";

const anonymous: Caller = Object.freeze({ principal: "anonymous", admin: false });
const anonymousLogin: Caller = Object.freeze({ ...anonymous, proof: "anonymous" });

/** Everybody is the principal `anonymous`, and logs in with any credentials or none. */
export const noAuthentication: Authentication = {
  authenticate: () => anonymous,
  login: () => anonymousLogin,
};
