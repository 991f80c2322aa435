import type { ErrorMessageId } from "../domain/errors.ts";

/** Why something was refused that would have been served with more room, by the message that the caller gets. */
export const refusalReasons = {
  "downlease.session.too_many": "session_quota",
  "downlease.login.too_many": "login_quota",
  "downlease.login.too_many_failures": "login_failures",
  "downlease.login.overloaded": "login_overload",
  "downlease.server.overloaded": "overload",
  "downlease.server.too_many_streams": "streams",
  "downlease.download.session_share": "download_session_share",
  "downlease.download.principal_share": "download_principal_share",
  "downlease.download.address_share": "download_address_share",
  "downlease.download.overloaded": "download_overload",
} as const satisfies Partial<Record<ErrorMessageId, string>>;

/** Connections have no message. */
export type RefusalReason = (typeof refusalReasons)[keyof typeof refusalReasons] | "connections";
