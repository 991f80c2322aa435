import { noRoles } from "../domain/roles.ts";
import type { Authentication } from "./authenticator.ts";
import { ProvenCaller } from "./proven-caller.ts";

const anonymous = new ProvenCaller("anonymous", noRoles, "anonymous");

/** Every caller is the principal `anonymous`, and logs in with any credentials or none. */
export const noAuthentication: Authentication = {
  authenticate: () => anonymous,
  login: () => anonymous,
};
