import { type ProofKind, proofKindOf } from "../domain/proof.ts";
import { noRoles, type Roles } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";
import type { Call, CallRecord } from "./call.ts";
import type { ClientAddressOf } from "./client-address.ts";
import { loginIdOf } from "./credentials.ts";

/** A call that has changed something, or should have: an entry of the audit log. */
export interface AuditRecord {
  /** When the call ended, in milliseconds since the epoch. */
  readonly time: number;
  /** Undefined when the caller was refused before it was known. */
  readonly principal: string | undefined;
  readonly roles: Roles;
  /** How the principal was proven. `none` also for a user whose password was wrong. */
  readonly proof: ProofKind | "login";
  readonly clientAddress: string;
  /** For example `DownloadSession.Create`. */
  readonly operation: string;
  readonly sessionId: string | undefined;
  readonly libraryItemId: string | undefined;
  readonly outcome: CallRecord["outcome"];
  readonly requestId: string;
  readonly traceId?: string | undefined;
  readonly details: AuditDetails | undefined;
}

/** What else there is to say about a call, by name. A list is one of ids. */
export type AuditDetails = Readonly<Record<string, string | readonly string[]>>;

/** Called with every call that changes something, and with every login, once it has ended. */
export type Audit = (record: AuditRecord) => void;

/** A call that has ended, with all of the call. */
export type AuditedRecord = CallRecord & { readonly call: Call };

export interface AuditedCall extends AuditedRecord {
  /** Undefined when it was not authenticated. */
  readonly caller: Caller | undefined;
  /** Whether the caller was to log in; its login session, if it has one, does not count then. */
  readonly isLogin: boolean;
  readonly details: AuditDetails | undefined;
}

export function auditRecordOf(audited: AuditedCall, clientAddressOf: ClientAddressOf): AuditRecord {
  const { call, operation, outcome, sessionId, itemId: libraryItemId, details } = audited;
  const caller = audited.caller ?? call.refusedCaller;
  return {
    time: Date.now(),
    principal: caller?.principal,
    roles: caller?.roles ?? noRoles,
    proof: proofOf(audited, caller),
    clientAddress: clientAddressOf(call),
    operation,
    sessionId,
    libraryItemId,
    outcome,
    requestId: call.requestId,
    details,
  };
}

/** A caller with a login session has the proof that the session rests on; the call itself was proven by the session. */
function proofOf({ call, isLogin }: AuditedCall, caller: Caller | undefined): AuditRecord["proof"] {
  const kind = proofKindOf(caller?.proof);
  if (kind === "none" || isLogin) return kind;
  return loginIdOf(call.credentials, call.headers) === undefined ? kind : "login";
}
