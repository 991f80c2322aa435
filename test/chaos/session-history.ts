import type { Operation } from "./history.ts";
import type { Violation } from "./violation.ts";

export interface Terms {
  /** How long a session lives without a renewal, in milliseconds. */
  readonly leaseMs: number;
  /** How long a session that has ended can still be read, in milliseconds. */
  readonly retentionMs: number;
  /** How far the clocks of clients, service and store may be apart, in milliseconds. */
  readonly allowanceMs: number;
  /** How long a call may go without an answer, in milliseconds. */
  readonly answerMs: number;
  /** How long a download may go on when its session has ended, in milliseconds; undefined for any time. */
  readonly cutMs?: number | undefined;
}

/** All that happened to one session. */
export interface SessionHistory {
  readonly id: string;
  readonly owner: string;
  readonly item: string | undefined;
  /** Calls of its owner, creations included, by invocation. Without lists. */
  readonly own: readonly Operation[];
  /** Calls of other principals. */
  readonly others: readonly Operation[];
}

/**
 * The sessions of a history. A creation whose answer is unknown belongs to the session that another creation with the
 * same token gave; without one nobody knows its session.
 */
export function groupSessions(operations: readonly Operation[]): {
  sessions: SessionHistory[];
  violations: Violation[];
} {
  const violations: Violation[] = [];
  const creations = operations.filter(({ kind }) => kind === "create");
  const byToken = new Map<string, Operation>();
  const firstCreations = new Map<string, Operation>();
  for (const creation of creations) {
    if (creation.outcome !== "ok") continue;
    const token = tokenOf(creation);
    const twin = token === undefined ? undefined : byToken.get(token);
    if (twin !== undefined && twin.session !== creation.session) {
      violations.push({
        kind: "two sessions for one token",
        session: twin.session,
        text: `Another creation with the same token gave ${creation.session}.`,
        operations: [twin, creation],
      });
    }
    if (token !== undefined && twin === undefined) byToken.set(token, creation);
    if (!firstCreations.has(creation.session!)) firstCreations.set(creation.session!, creation);
  }
  const bySession = new Map<string, Operation[]>();
  for (const operation of operations) {
    const id = operation.session ?? byToken.get(tokenOf(operation) ?? "")?.session;
    if (id === undefined || operation.kind === "list") continue;
    const calls = bySession.get(id);
    if (calls === undefined) bySession.set(id, [operation]);
    else calls.push(operation);
  }
  const sessions = [...firstCreations].map(([id, { principal: owner, item }]) => {
    const calls = bySession.get(id)!.sort((left, right) => left.invokedAt - right.invokedAt);
    const own = calls.filter(({ principal }) => principal === owner);
    return { id, owner, item, own, others: calls.filter(({ principal }) => principal !== owner) };
  });
  return { sessions, violations };
}

/** Tokens name a session only together with the principal. */
function tokenOf({ kind, token, principal }: Operation): string | undefined {
  return kind === "create" && token !== undefined ? JSON.stringify([principal, token]) : undefined;
}

/**
 * By when the session may have expired at the earliest, as its client can know from this answer; undefined when the
 * answer promises nothing. Operations that renew the lease without saying until when did so after their invocation.
 */
export function promisedUntil(
  { kind, outcome, shown, invokedAt }: Operation,
  { leaseMs, retentionMs }: Terms,
): number | undefined {
  if (outcome !== "ok") return undefined;
  switch (kind) {
    case "create":
    case "prepare":
      return invokedAt + leaseMs;
    case "get":
      return shown?.expiresAt;
    case "keepAlive":
      return shown?.expiresAt ?? invokedAt + leaseMs;
    case "fileGet":
      return shown?.hasLink ? invokedAt + leaseMs : undefined;
    case "cancel":
    case "fail":
      return invokedAt + retentionMs;
    default:
      return undefined;
  }
}
