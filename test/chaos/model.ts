import type { Operation, OperationKind, SessionState, Shown } from "./history.ts";
import type { Random } from "./random.ts";

/** Lengths that histories of the model use, in milliseconds. */
export const modelTerms = { leaseMs: 400, retentionMs: 300, allowanceMs: 0, answerMs: 1000 } as const;

export interface ModelOptions {
  readonly random: Random;
  readonly operations: number;
  /** Calls at the same time; 1 for a sequential history. */
  readonly clients: number;
  /** Share of calls without a definite answer. */
  readonly unknown: number;
}

interface Pending {
  readonly request: Pick<
    Operation,
    "kind" | "principal" | "session" | "item" | "token" | "progress" | "mark"
  >;
  readonly worker: number;
  readonly invokedAt: number;
  readonly answeredAt: number;
  readonly isUnknown: boolean;
}

interface ModelSession {
  readonly owner: string;
  readonly item: string;
  state: SessionState;
  progress: number;
  mark: string | undefined;
  expiresAt: number;
}

const kinds: readonly OperationKind[] = [
  ...Array<OperationKind>(8).fill("keepAlive"),
  ...Array<OperationKind>(5).fill("get"),
  ...["prepare", "fileGet", "download", "list", "create", "create", "cancel", "fail", "delete"],
] as OperationKind[];

/**
 * A history that a correct service could have given: every call takes effect in one step between its invocation and
 * its answer; one without a definite answer at any later time, or never.
 */
export function modelHistory({ random, operations, clients, unknown }: ModelOptions): Operation[] {
  const sessions = new Map<string, ModelSession>();
  /** Sessions that clients may call, from when their creation is answered. */
  const known: { id: string; owner: string; from: number; progress: number }[] = [];
  const history: Operation[] = [];
  const effects: { readonly at: number; readonly pending: Pending; readonly id: string }[] = [];
  const freeAt = Array.from({ length: clients }, () => 0);
  for (let number = 0; number < operations; number++) {
    const worker = freeAt.indexOf(Math.min(...freeAt));
    const invokedAt = freeAt[worker]! + random.below(4) + 1;
    const answeredAt = invokedAt + random.below(clients > 1 ? 30 : 3) + 1;
    freeAt[worker] = answeredAt + 1;
    const isUnknown = random.chance(unknown);
    const pending = { request: request(number, invokedAt), worker, invokedAt, answeredAt, isUnknown };
    const id = pending.request.session ?? `session-${number}`;
    const { kind, principal } = pending.request;
    if (kind === "create" && !isUnknown) known.push({ id, owner: principal, from: answeredAt, progress: 0 });
    const at = invokedAt + random.fraction() * (answeredAt - invokedAt);
    if (!isUnknown) effects.push({ at, pending, id });
    else if (random.chance(0.6)) effects.push({ at: invokedAt + random.below(400), pending, id });
    if (isUnknown) history.push(record(pending, pending.request.session, "unknown"));
  }
  for (const { at, pending, id } of effects.sort((left, right) => left.at - right.at)) {
    const answer = take(pending.request, id, at);
    if (!pending.isUnknown) history.push(record(pending, pending.request.session ?? id, ...answer));
  }
  return history;

  function request(number: number, at: number): Pending["request"] {
    const principal = random.pick(["alice", "bob"]);
    const targets = known.slice(-6).filter(({ from }) => from < at);
    const kind = targets.length === 0 ? "create" : random.pick(kinds);
    if (kind === "create") return { kind, principal, item: random.pick(["a", "b"]) };
    if (kind === "list") return { kind, principal };
    const target = random.pick(targets);
    const caller = random.chance(0.97) ? target.owner : principal;
    const base = { kind, principal: caller, session: target.id };
    if (kind === "fail") return { ...base, mark: `mark ${number}` };
    if (kind !== "keepAlive" || random.chance(0.2)) return base;
    target.progress = Math.min(100, target.progress + 1);
    return { ...base, progress: Math.max(0, target.progress - random.pick([0, 0, 3])) };
  }

  function take(call: Pending["request"], id: string, at: number): [Operation["outcome"], Shown?] {
    const { kind, principal } = call;
    if (kind === "create") {
      const expiresAt = at + modelTerms.leaseMs;
      const fresh = { owner: principal, item: call.item!, progress: 0, mark: undefined, expiresAt };
      sessions.set(id, { ...fresh, state: "ACTIVE" });
      return ["ok"];
    }
    if (kind === "list") {
      const own = [...sessions].filter(([, { owner, expiresAt }]) => owner === principal && at < expiresAt);
      return ["ok", { ids: new Set(own.map(([each]) => each)) }];
    }
    const session = sessions.get(id);
    if (session === undefined || session.owner !== principal || at >= session.expiresAt) return ["not_found"];
    if (kind === "delete") sessions.delete(id);
    if (kind === "delete") return ["ok"];
    if (kind === "get") return ["ok", shownBy(session)];
    if (session.state !== "ACTIVE") {
      if (kind === "fileGet") return ["ok", { hasLink: false }];
      return kind === "download" ? ["not_found"] : ["not_active"];
    }
    if (kind === "download") return ["ok"];
    const length = kind === "cancel" || kind === "fail" ? modelTerms.retentionMs : modelTerms.leaseMs;
    session.expiresAt = Math.max(session.expiresAt, at + length);
    if (kind === "fileGet") return ["ok", { hasLink: true }];
    if (kind === "keepAlive") {
      session.progress = Math.max(session.progress, call.progress ?? 0);
      // REST says nothing but that it was done.
      return random.chance(0.5) ? ["ok"] : ["ok", pick(session, "progress", "expiresAt")];
    }
    if (kind === "cancel") session.state = "CANCELED";
    if (kind === "fail") [session.state, session.mark] = ["ERROR", call.mark];
    return ["ok"];
  }
}

function record(pending: Pending, session: string | undefined, outcome: Operation["outcome"], shown?: Shown) {
  const { request, worker, invokedAt, answeredAt } = pending;
  const isNamed = request.kind !== "list" && !(request.kind === "create" && outcome === "unknown");
  return {
    ...request,
    session: isNamed ? session : undefined,
    worker,
    protocol: "model",
    invokedAt,
    answeredAt,
    outcome,
    ...(shown !== undefined && { shown }),
  };
}

function shownBy({ state, progress, mark, expiresAt, item }: ModelSession): Shown {
  return { state, progress, expiresAt, item, ...(mark !== undefined && { mark }) };
}

function pick<T extends object, K extends keyof T>(from: T, ...names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;
}
