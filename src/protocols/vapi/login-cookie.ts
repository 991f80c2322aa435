import { stringifySetCookie } from "cookie";
import { loginHeader } from "../../calls/credentials.ts";
import { type HttpRequest, isEncrypted } from "../../calls/http.ts";
import type { Tree } from "./tree.ts";

/** Its presence says that the caller will send the identifier as a header, and wants no cookie. */
const withoutCookie = "vmware-use-header-authn";

/**
 * The header, as name and value, that gives a browser the identifier of its login session, or takes it away. The cookie
 * is for the paths of the prefix by which the caller came.
 *
 * @param prefix "" for none
 * @param loginId undefined when the login session is closed
 */
export function loginCookieHeaders(
  req: HttpRequest,
  prefix: string,
  loginId: Tree | undefined,
): readonly string[] {
  if (withoutCookie in req.headers) return [];
  const cookie = stringifySetCookie({
    name: loginHeader,
    value: loginId === undefined ? "" : String(loginId),
    path: prefix || "/",
    httpOnly: true,
    sameSite: "strict",
    secure: isEncrypted(req),
    ...(loginId === undefined && { maxAge: 0 }),
  });
  return ["set-cookie", cookie];
}
