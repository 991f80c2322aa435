import type { IncomingHttpHeaders } from "node:http";
import { type Credentials, HeaderCredentials, loginHeader } from "../../operations/credentials.ts";
import type { TreeObject } from "../tree.ts";

const schemes = "com.vmware.vapi.std.security.";

/**
 * The credentials of `ctx.securityCtx`. A header with the identifier of a login session counts before them; without a
 * scheme all headers count.
 */
export function credentialsOf(security: TreeObject, headers: IncomingHttpHeaders): Credentials {
  const fromHeaders = new HeaderCredentials(headers);
  const { schemeId } = security;
  const isUnset = schemeId === undefined || schemeId === null || schemeId === `${schemes}no_authentication`;
  if (isUnset || headers[loginHeader] !== undefined) return fromHeaders;
  return inScheme(String(schemeId), security);
}

function inScheme(schemeId: string, security: TreeObject): Credentials {
  const text = (name: string): string => {
    const value = security[name];
    return typeof value === "string" ? value : "";
  };
  switch (schemeId) {
    case `${schemes}session_id`:
      return { loginId: text("sessionId"), authorization: undefined };
    case `${schemes}user_pass`: {
      const pair = Buffer.from(`${text("userName")}:${text("password")}`);
      return { loginId: undefined, authorization: `Basic ${pair.toString("base64")}` };
    }
    case `${schemes}oauth`:
      return { loginId: undefined, authorization: `Bearer ${text("accessToken")}` };
    default:
      // Nobody is known by a scheme like this, SAML among them.
      return { loginId: undefined, authorization: "Unsupported" };
  }
}
