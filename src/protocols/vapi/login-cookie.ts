import { stringifySetCookie } from "cookie";
import { loginHeader } from "../../calls/credentials.ts";
import { type HttpRequest, isEncrypted } from "../../calls/http.ts";
import type { Tree } from "./tree.ts";

/** A request in which this header is not empty gets no cookie: the caller sends the identifier as a header. */
const withoutCookie = "vmware-use-header-authn";

/**
 * The `Set-Cookie` header, as name and value, that stores or removes the identifier of a browser's login session. The
 * cookie is sent for paths below the prefix of the request.
 *
 * @param prefix "" when there is none
 * @param loginId undefined when the login session is closed
 */
export function loginCookieHeaders(
  req: HttpRequest,
  prefix: string,
  loginId: Tree | undefined,
): readonly string[] {
  if (req.headers[withoutCookie]) return [];
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
