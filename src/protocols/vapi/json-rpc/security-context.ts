import type { IncomingHttpHeaders } from "node:http";
import { type Credentials, HeaderCredentials, loginHeader } from "../../../calls/credentials.ts";
import { ServiceError } from "../../../domain/errors.ts";
import type { Tree, TreeObject } from "../tree.ts";

const schemes = "com.vmware.vapi.std.security.";
const acceptedSchemes = ["session_id", "user_pass", "oauth", "no_authentication"].map(
  (name) => schemes + name,
);

/**
 * The credentials of `ctx.securityCtx`. The login session header takes precedence over them; without a scheme, the
 * headers are the credentials.
 *
 * @throws ServiceError `unauthenticated` when the scheme is not supported, for example SAML
 */
export function credentialsOf(security: TreeObject, headers: IncomingHttpHeaders): Credentials {
  const fromHeaders = new HeaderCredentials(headers);
  const { schemeId } = security;
  const isUnset = schemeId === undefined || schemeId === null || schemeId === `${schemes}no_authentication`;
  if (isUnset || headers[loginHeader] !== undefined) return fromHeaders;
  return credentialsInScheme(schemeId, security);
}

export const noCredentials = {
  authorization: undefined,
  loginId: undefined,
  loginCookie: undefined,
  isInBody: true,
} as const;

function credentialsInScheme(schemeId: Tree, security: TreeObject): Credentials {
  const text = (name: string): string => {
    const value = security[name];
    return typeof value === "string" ? value : "";
  };
  switch (schemeId) {
    case `${schemes}session_id`:
      return { ...noCredentials, loginId: text("sessionId") };
    case `${schemes}user_pass`:
      return passwordCredentials(text("userName"), text("password"));
    case `${schemes}oauth`:
      return { ...noCredentials, authorization: `Bearer ${text("accessToken")}` };
    default:
      throw new ServiceError("downlease.authentication.scheme", [acceptedSchemes.join(", ")]);
  }
}

/** A user name and a password that come in the body of a request. */
export function passwordCredentials(name: string, password: string): Credentials {
  // A colon ends the name in Basic credentials: "alice:x" would be read as alice.
  const pair = name.includes(":") ? "" : Buffer.from(`${name}:${password}`).toString("base64");
  return { ...noCredentials, authorization: `Basic ${pair}` };
}
