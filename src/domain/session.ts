/**
 * The rules of the lease: each rule of the download session stands here once, as a pure function. Stores call it
 * (SQLite), or restate it in a script (Redis) and are compared with it under random histories.
 */

import { ServiceError } from "./errors.ts";
import { isAdmin, type Roles } from "./roles.ts";

export type SessionState = "ACTIVE" | FinalState;
export type FinalState = "CANCELED" | "ERROR";

export interface Session {
  readonly id: string;
  /** Name of the principal that created the session. */
  readonly owner: string;
  readonly libraryItemId: string;
  /** The item's content version when the session was created. */
  readonly contentVersion: string;
  readonly state: SessionState;
  /** Percent, an integer from 0 to 100. */
  readonly progress: number;
  /** Milliseconds since the epoch; the session is gone from this moment on. Never moves back. */
  readonly expiresAt: number;
  /** Whether its owner was proven by the users file: then the session ends with that user. Unset for false. */
  readonly endsWithUser?: boolean;
  /** The error message of the client; only in state ERROR. */
  readonly errorMessage?: string;
}

/** What the creator of a session decides. */
export type NewSession = Pick<Session, "id" | "owner" | "libraryItemId" | "contentVersion" | "endsWithUser">;

/** On whose behalf a call is made. */
export interface Caller {
  /** Name of the principal, not empty. */
  readonly principal: string;
  readonly roles: Roles;
  /** How it was proven, see `proof.ts`; undefined for the service itself. */
  readonly proof?: string;
}

/** Lengths of the lease, in milliseconds, and how many leases there may be. They may change while a service runs. */
export interface LeaseTerms {
  /** How long a session lives without a renewal. */
  readonly leaseMs: number;
  /** How long a session can still be read after it was canceled or failed. */
  readonly retentionMs: number;
  /** How many sessions a principal may have, in any state; 0 or unset: any number. */
  readonly maxSessionsPerPrincipal?: number;
}

/** Why a session was not changed. */
export type Refusal =
  | { readonly outcome: "not_found" }
  | { readonly outcome: "not_active"; readonly state: FinalState }
  | { readonly outcome: "invalid_progress" };

export type Renewal = { readonly outcome: "renewed"; readonly expiresAt: number; readonly progress: number };
export type Finish = { readonly outcome: "finished"; readonly expiresAt: number };

/** Progress is an integer from 0 to 100. */
export function isProgress(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 100;
}

/** When a lease ends that is renewed at `now`: after a full length, but never before the end that was promised. */
export function renewedUntil(promised: number, now: number, lengthMs: number): number {
  return Math.max(promised, now + lengthMs);
}

/**
 * The quota: whether an owner of so many sessions may have one more. Final ones count until they are gone, because they
 * take as much room; one that is created again takes no room.
 */
export function hasRoom(sessions: number, { maxSessionsPerPrincipal = 0 }: LeaseTerms): boolean {
  return maxSessionsPerPrincipal === 0 || sessions < maxSessionsPerPrincipal;
}

/** Refuses a creation for the quota. */
export function tooManySessions({ maxSessionsPerPrincipal }: LeaseTerms): ServiceError {
  return new ServiceError("downlease.session.too_many", [String(maxSessionsPerPrincipal)]);
}

/** Bytes of UTF-8 of a client's error message that are kept. */
export const maxErrorMessageBytes = 1024;

const ellipsis = "…";

/** What is kept of a client's error message: its beginning, cut between two characters and marked as cut. */
export function keptErrorMessage(text: string): string {
  // Most are short; UTF-8 has at most three bytes for a unit of UTF-16.
  if (text.length * 3 <= maxErrorMessageBytes) return text;
  const bytes = Buffer.from(text.slice(0, maxErrorMessageBytes + 1));
  if (bytes.length <= maxErrorMessageBytes) return text;
  let end = maxErrorMessageBytes - Buffer.byteLength(ellipsis);
  // A continuation byte is not the beginning of a character.
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end) + ellipsis;
}

/** A new session. */
export function openSession(spec: NewSession, now: number, terms: LeaseTerms): Session {
  return { ...spec, state: "ACTIVE", progress: 0, expiresAt: now + terms.leaseMs };
}

/** A session that is created again: an ACTIVE one gets its lease renewed, a final one stays as it is. */
export function reopenSession(session: Session, now: number, terms: LeaseTerms): Session {
  if (session.state !== "ACTIVE") return session;
  return { ...session, expiresAt: renewedUntil(session.expiresAt, now, terms.leaseMs) };
}

/** Whether the session exists for the caller at `now`: not expired, and theirs or visible to their role. */
export function existsFor(session: Session, caller: Caller, now: number): boolean {
  return now < session.expiresAt && (isAdmin(caller) || session.owner === caller.principal);
}

/**
 * A keep-alive, with the rule for progress: it never falls. A progress that is not greater than the stored one, or
 * undefined, only renews the lease, so that late and repeated heartbeats are harmless.
 */
export function keepAlive(
  session: Session,
  progress: number | undefined,
  now: number,
  terms: LeaseTerms,
): Session | Refusal {
  if (session.state !== "ACTIVE") return { outcome: "not_active", state: session.state };
  if (progress !== undefined && !isProgress(progress)) return { outcome: "invalid_progress" };
  return {
    ...session,
    progress: Math.max(session.progress, progress ?? 0),
    expiresAt: renewedUntil(session.expiresAt, now, terms.leaseMs),
  };
}

/** Cancels or fails a session. Final states stay readable for the retention time. */
export function finish(
  session: Session,
  state: FinalState,
  errorMessage: string | undefined,
  now: number,
  terms: LeaseTerms,
): Session | Refusal {
  if (session.state !== "ACTIVE") return { outcome: "not_active", state: session.state };
  return {
    ...session,
    state,
    expiresAt: renewedUntil(session.expiresAt, now, terms.retentionMs),
    ...(errorMessage !== undefined && { errorMessage }),
  };
}

export function isRefusal(result: Session | Refusal): result is Refusal {
  return "outcome" in result;
}
