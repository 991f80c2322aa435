import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CreateResponseSchema,
  DeleteResponseSchema,
  GetResponseSchema,
  SessionService,
} from "../../gen/cis/v1/session_pb.ts";
import type { Call } from "../calls/call.ts";
import { loginChallenge, loginIdOf } from "../calls/credentials.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../domain/errors.ts";
import type { LoginStore } from "../domain/login-store.ts";
import type { Caller } from "../domain/session.ts";

const rpc = SessionService.method;

export interface LoginParts {
  readonly logins: Pick<LoginStore, "find" | "close">;
  /** Opens a login session for a caller that has just logged in, and gives its identifier. */
  readonly openLogin: (caller: Caller) => Promise<string>;
}

/** The operations of `com.vmware.cis.session`. */
export function loginOperations({ logins, openLogin }: LoginParts): readonly Operation[] {
  return [
    operation({
      method: rpc.create,
      isLogin: true,
      changes: true,
      async run(_request, caller) {
        return create(CreateResponseSchema, { sessionId: await openLogin(caller) });
      },
    }),
    operation({
      method: rpc.get,
      async run(_request, _caller, call) {
        const login = await logins.find(requireLoginId(call));
        if (login === undefined) throw unauthenticated("downlease.authentication.expired");
        return create(GetResponseSchema, {
          info: {
            user: login.principal,
            createdTime: timestampFromMs(login.createdAt),
            lastAccessedTime: timestampFromMs(login.lastUsedAt),
          },
        });
      },
    }),
    operation({
      method: rpc.delete,
      isLogout: true,
      changes: true,
      async run(_request, _caller, call) {
        if (!(await logins.close(requireLoginId(call))))
          throw unauthenticated("downlease.authentication.expired");
        return create(DeleteResponseSchema);
      },
    }),
  ];
}

function unauthenticated(messageId: ErrorMessageId): ServiceError {
  return ServiceError.unauthenticated(messageId, loginChallenge);
}

/** Callers may have none: they can send a certificate or a bearer token with each call. */
function requireLoginId({ credentials, headers }: Call): string {
  const loginId = loginIdOf(credentials, headers);
  if (loginId === undefined) throw unauthenticated("downlease.authentication.required");
  return loginId;
}
