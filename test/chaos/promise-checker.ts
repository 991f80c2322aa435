import type { Operation } from "./history.ts";
import { promisedUntil, type SessionHistory, type Terms } from "./session-history.ts";
import type { Violation, ViolationKind } from "./violation.ts";

/**
 * Holds the calls about one session to each promise by itself. A call is compared with what had been answered before
 * it was invoked; calls at the same time are left to the search for an order.
 */
export function promiseViolations(session: SessionHistory, terms: Terms): Violation[] {
  const byAnswer = session.own.toSorted((left, right) => left.answeredAt - right.answeredAt);
  const evidence = new Evidence(terms);
  const violations: Violation[] = [];
  let next = 0;
  for (const operation of session.own) {
    for (; next < byAnswer.length && byAnswer[next]!.answeredAt < operation.invokedAt; next++) {
      evidence.add(byAnswer[next]!);
    }
    for (const found of [
      ...contradictions(operation, evidence),
      ...ownFaults(operation, session, terms),
      ...lostLease(operation, evidence, session, terms),
      ...uncut(operation, session, terms),
    ]) {
      const { kind, text, before } = found;
      const operations = before === undefined ? [operation] : [before, operation];
      violations.push({ kind, session: session.id, text, operations });
    }
  }
  return violations.filter((violation) => !mayBeAnotherLife(violation, session));
}

interface Found {
  readonly kind: ViolationKind;
  readonly text: string;
  /** What had been acknowledged. */
  readonly before?: Operation | undefined;
}

/** What is certain after some answers, each with the answer that says so. */
class Evidence {
  readonly #terms: Terms;
  progress = 0;
  progressBy: Operation | undefined;
  endedBy: Operation | undefined;
  /** The final state, when an answer named it. */
  finalState: string | undefined;
  goneBy: Operation | undefined;
  promised = 0;
  promisedBy: Operation | undefined;
  announced = 0;
  announcedBy: Operation | undefined;

  constructor(terms: Terms) {
    this.#terms = terms;
  }

  add(operation: Operation): void {
    const { kind, outcome, shown } = operation;
    const progress = Math.max(shown?.progress ?? 0, (outcome === "ok" && operation.progress) || 0);
    if (progress > this.progress) [this.progress, this.progressBy] = [progress, operation];
    const final = finalStateOf(operation);
    if (final !== undefined || outcome === "not_active") this.endedBy ??= operation;
    this.finalState ??= final;
    const isGone = outcome === "not_found" && kind !== "download";
    if (isGone || (outcome === "ok" && kind === "delete")) this.goneBy ??= operation;
    const promised = promisedUntil(operation, this.#terms);
    if (promised !== undefined && promised > this.promised) {
      [this.promised, this.promisedBy] = [promised, operation];
    }
    const announced = shown?.expiresAt ?? 0;
    if (announced > this.announced) [this.announced, this.announcedBy] = [announced, operation];
  }
}

function finalStateOf({ kind, outcome, shown }: Operation): string | undefined {
  if (outcome !== "ok") return undefined;
  if (kind === "cancel") return "CANCELED";
  if (kind === "fail") return "ERROR";
  return shown?.state === "ACTIVE" ? undefined : shown?.state;
}

/** Whether the answer says that the session was ACTIVE at some moment of the call. */
function provesActive({ kind, outcome, shown }: Operation): boolean {
  if (outcome !== "ok") return false;
  if (kind === "get") return shown?.state === "ACTIVE";
  if (kind === "fileGet") return shown?.hasLink === true;
  return ["keepAlive", "cancel", "fail", "prepare", "download"].includes(kind);
}

function contradictions(operation: Operation, evidence: Evidence): Found[] {
  const { kind, outcome, shown } = operation;
  const isSeen = (outcome === "ok" && kind !== "create") || outcome === "not_active";
  if (evidence.goneBy !== undefined && isSeen) {
    return [{ kind: "back from the dead", text: "The session was gone before.", before: evidence.goneBy }];
  }
  if (evidence.endedBy !== undefined && provesActive(operation)) {
    const before = evidence.endedBy;
    return kind === "get"
      ? [{ kind: "state went back", text: "The session had ended before.", before }]
      : [{ kind: "acknowledged after the end", text: "The session had ended before.", before }];
  }
  const found: Found[] = [];
  const final = finalStateOf(operation);
  if (evidence.finalState !== undefined && final !== undefined && final !== evidence.finalState) {
    const text = `The session was ${evidence.finalState} before.`;
    found.push({ kind: "state went back", text, before: evidence.endedBy });
  }
  if (shown?.progress !== undefined && shown.progress < evidence.progress) {
    const text = `The progress was ${evidence.progress} before.`;
    found.push({ kind: "progress went back", text, before: evidence.progressBy });
  }
  if (shown?.expiresAt !== undefined && shown.expiresAt < evidence.announced) {
    const text = `A client had been sent an expiration ${Math.ceil(evidence.announced - shown.expiresAt)} ms later.`;
    found.push({ kind: "expiration went back", text, before: evidence.announcedBy });
  }
  return found;
}

/** What is wrong with an answer whatever was before. */
function ownFaults(operation: Operation, { item }: SessionHistory, { allowanceMs }: Terms): Found[] {
  const { shown, invokedAt } = operation;
  const found: Found[] = [];
  if (shown?.expiresAt !== undefined && shown.expiresAt < invokedAt - allowanceMs) {
    const text = `It had expired ${Math.ceil(invokedAt - shown.expiresAt)} ms before the call.`;
    found.push({ kind: "shown after expiration", text });
  }
  if (shown?.item !== undefined && shown.item !== item) {
    found.push({ kind: "wrong item", text: `It was created for ${item}, and showed ${shown.item}.` });
  }
  if (shown?.damage !== undefined) found.push({ kind: "wrong bytes", text: shown.damage });
  return found;
}

function lostLease(
  operation: Operation,
  { promised, promisedBy }: Evidence,
  { own }: SessionHistory,
  { allowanceMs }: Terms,
): Found[] {
  const { kind, outcome, answeredAt } = operation;
  if (outcome !== "not_found" || answeredAt >= promised - allowanceMs) return [];
  const closers = kind === "download" ? ["delete", "cancel", "fail"] : ["delete"];
  const isClosed = own.some((each) => closers.includes(each.kind) && each.invokedAt <= answeredAt);
  if (isClosed) return [];
  const text = `The lease had been promised for ${Math.floor(promised - answeredAt)} ms more.`;
  return [{ kind: "lost lease", text, before: promisedBy }];
}

/** A download that went on after the session had ended. */
function uncut({ kind, endedAt }: Operation, { own }: SessionHistory, { cutMs }: Terms): Found[] {
  if (kind !== "download" || endedAt === undefined || cutMs === undefined) return [];
  const ends = own.filter(
    (each) => each.outcome === "ok" && ["cancel", "fail", "delete"].includes(each.kind),
  );
  const before = ends.find(({ answeredAt }) => answeredAt + cutMs < endedAt);
  if (before === undefined) return [];
  const text = `It went on for ${Math.round(endedAt - before.answeredAt)} ms; ${cutMs} are allowed.`;
  return [{ kind: "download after the end", text, before }];
}

/** A creation that is repeated with its token may make a session once more that was gone meanwhile. */
function mayBeAnotherLife({ operations: [before, after] }: Violation, { own }: SessionHistory): boolean {
  const creations = own.filter(({ kind }) => kind === "create");
  if (creations.length < 2 || before === undefined || after === undefined) return false;
  const isLate = ({ outcome, answeredAt }: Operation) =>
    outcome === "unknown" || answeredAt > before.invokedAt;
  const hasBeenGone = own.some(
    ({ kind, outcome, invokedAt }) =>
      invokedAt < after.answeredAt && (kind === "delete" || outcome === "not_found"),
  );
  return hasBeenGone && creations.some((each) => isLate(each) && each.invokedAt < after.answeredAt);
}
