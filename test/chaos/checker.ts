import type { Operation } from "./history.ts";
import { isLinearizable } from "./linearizability.ts";
import { listViolations } from "./list-checker.ts";
import { promiseViolations } from "./promise-checker.ts";
import { groupSessions, type SessionHistory, type Terms } from "./session-history.ts";
import type { Violation } from "./violation.ts";

export interface Findings {
  readonly violations: readonly Violation[];
  readonly operations: number;
  /** Operations without a definite answer. */
  readonly unknown: number;
  /** Operations that never left the load balancer. */
  readonly notSent: number;
  readonly sessions: number;
  /** Sessions for which the search for an order took too many steps. */
  readonly undecided: number;
}

/** Holds a history to the promises of the service. Pure: the same history gives the same findings. */
export function check(history: readonly Operation[], terms: Terms): Findings {
  const operations = history.filter(({ outcome }) => outcome !== "not_sent");
  const { sessions, violations: ofTokens } = groupSessions(operations);
  const violations: Violation[] = [
    ...ofTokens,
    ...unexpectedAnswers(operations),
    ...lateAnswers(operations, terms),
  ];
  let undecided = 0;
  for (const session of sessions) {
    const broken = [...strangers(session), ...promiseViolations(session, terms)];
    violations.push(...broken);
    // Which promise was broken says more than that no order fits.
    if (broken.length > 0) continue;
    const { result, stuckAt } = isLinearizable(session.own);
    if (result === "undecided") undecided++;
    if (result === "no") violations.push(notLinearizable(session, stuckAt));
  }
  violations.push(...listViolations(operations, sessions, terms));
  return {
    violations,
    operations: operations.length,
    unknown: operations.filter(({ outcome }) => outcome === "unknown").length,
    notSent: history.length - operations.length,
    sessions: sessions.length,
    undecided,
  };
}

function unexpectedAnswers(operations: readonly Operation[]): Violation[] {
  return operations
    .filter(({ outcome }) => outcome === "unexpected")
    .map((operation) => ({
      kind: "unexpected answer",
      session: operation.session,
      text: `${operation.kind} was answered with ${operation.detail}.`,
      operations: [operation],
    }));
}

function lateAnswers(operations: readonly Operation[], { answerMs }: Terms): Violation[] {
  return operations
    .filter(({ kind, invokedAt, answeredAt }) => kind !== "download" && answeredAt - invokedAt > answerMs)
    .map((operation) => ({
      kind: "answered too late",
      session: operation.session,
      text: `It took ${Math.round(operation.answeredAt - operation.invokedAt)} ms; ${answerMs} are allowed.`,
      operations: [operation],
    }));
}

function strangers({ id, owner, others }: SessionHistory): Violation[] {
  return others
    .filter(({ outcome }) => outcome === "ok" || outcome === "not_active")
    .map((operation) => ({
      kind: "seen by a stranger",
      session: id,
      text: `The session belongs to ${owner}, and ${operation.principal} got an answer other than not_found.`,
      operations: [operation],
    }));
}

/** Shows the calls around the place where the search got stuck. */
function notLinearizable({ id, own }: SessionHistory, stuckAt: readonly Operation[]): Violation {
  const from = Math.min(...stuckAt.map(({ invokedAt }) => invokedAt));
  const to = Math.max(...stuckAt.map(({ answeredAt }) => answeredAt));
  const before = own.filter((each) => each.answeredAt < from && each.outcome === "ok").slice(-3);
  const unknown = own.filter((each) => each.outcome === "unknown" && each.invokedAt <= to && isWrite(each));
  const shown = new Set([...before, ...unknown.slice(-3), ...stuckAt.slice(0, 8)]);
  return {
    kind: "not linearizable",
    session: id,
    text: `No order of the ${own.length} calls explains the answers; the search got as far as these.`,
    operations: [...shown],
  };
}

function isWrite({ kind }: Operation): boolean {
  return ["create", "keepAlive", "cancel", "fail", "delete"].includes(kind);
}
