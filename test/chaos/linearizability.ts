import type { Operation, SessionState } from "./history.ts";

/**
 * Whether the calls about one session can be put into an order, each at a moment between its invocation and its
 * answer, in which every answer is right: the search of Wing and Gong, with Lowe's memory of the configurations that
 * led nowhere ("Testing for linearizability", 2017).
 *
 * Calls without a definite answer may take effect at any later time or never. Their effects are idempotent (progress
 * only rises, an end is final), so a configuration need not say which of them are used up. That keeps the search
 * polynomial however many there are. Creations are the exception, because they could bring a deleted session back:
 * each of them counts once.
 *
 * A session may expire at any time here; that it does so too early is checked elsewhere, with clocks.
 */
export function isLinearizable(operations: readonly Operation[], maxSteps = 2_000_000): Verdict {
  const search = new Search(operations, maxSteps);
  return search.run();
}

export interface Verdict {
  /** `undecided` when the search took too many steps. */
  readonly result: "yes" | "no" | "undecided";
  /** If `no`: the calls of which one can never be put in its place, in the configuration that got furthest. */
  readonly stuckAt: readonly Operation[];
  readonly steps: number;
}

/** A session as the rules see it. */
interface State {
  readonly life: SessionState | "ABSENT" | "GONE";
  readonly progress: number;
  readonly mark: string;
}

const absent: State = { life: "ABSENT", progress: 0, mark: "" };
const gone: State = { life: "GONE", progress: 0, mark: "" };
const created: State = { life: "ACTIVE", progress: 0, mark: "" };
const ended = (state: State) => state.life === "CANCELED" || state.life === "ERROR";
const exists = (state: State) => state.life === "ACTIVE" || ended(state);

/** The state after the call; undefined when the call can't have been answered like this in this state. */
function after(state: State, operation: Operation): State | undefined {
  const { kind, outcome, shown } = operation;
  if (outcome === "not_found") {
    // A link is closed for several reasons, and they look the same.
    const isClosed = kind === "download" ? state.life !== "ACTIVE" : !exists(state);
    return isClosed ? state : undefined;
  }
  if (outcome === "not_active") return ended(state) ? state : undefined;
  switch (kind) {
    case "create":
      return exists(state) ? state : created;
    case "get":
      return exists(state) &&
        shown?.state === state.life &&
        shown.progress === state.progress &&
        (shown.mark ?? "") === state.mark
        ? state
        : undefined;
    case "keepAlive": {
      if (state.life !== "ACTIVE") return undefined;
      const next = raised(state, operation.progress);
      return shown?.progress === undefined || shown.progress === next.progress ? next : undefined;
    }
    case "fileGet":
      return (shown?.hasLink ? state.life === "ACTIVE" : exists(state)) ? state : undefined;
    case "prepare":
    case "download":
      return state.life === "ACTIVE" ? state : undefined;
    default:
      return effect(state, operation);
  }
}

/** The state after a call whose answer is unknown has taken effect; undefined when it has none in this state. */
function effect(state: State, { kind, progress, mark = "" }: Operation): State | undefined {
  switch (kind) {
    case "create":
      return exists(state) ? undefined : created;
    case "keepAlive": {
      const next = state.life === "ACTIVE" ? raised(state, progress) : state;
      return next === state ? undefined : next;
    }
    case "cancel":
      return state.life === "ACTIVE" ? { ...state, life: "CANCELED" } : undefined;
    case "fail":
      return state.life === "ACTIVE" ? { ...state, life: "ERROR", mark } : undefined;
    case "delete":
      return exists(state) ? gone : undefined;
    default:
      return undefined;
  }
}

function raised(state: State, progress = 0): State {
  return progress > state.progress ? { ...state, progress } : state;
}

/** What has been put in order so far, and the state that it led to. */
interface Configuration {
  /** All definite calls before this one, by invocation, have their place. */
  readonly first: number;
  /** Those after it that have theirs as well, ascending. */
  readonly further: readonly number[];
  /** Unknown creations that took effect. */
  readonly createdBy: readonly number[];
  readonly state: State;
}

class Search {
  readonly #definite: readonly Operation[];
  readonly #unknown: readonly Operation[];
  /** Whether a second creation could bring the session back, with progress 0. */
  readonly #mayReturn: boolean;
  readonly #maxSteps: number;
  readonly #seen = new Set<string>();
  #steps = 0;
  #furthest: Configuration = { first: 0, further: [], createdBy: [], state: absent };

  constructor(operations: readonly Operation[], maxSteps: number) {
    const relevant = operations.filter(({ kind }) => kind !== "list").sort(byInvocation);
    this.#definite = relevant.filter(({ outcome }) => /^(ok|not_found|not_active)$/.test(outcome));
    this.#unknown = relevant.filter(
      ({ outcome, kind }) => outcome === "unknown" && /^(create|keepAlive|cancel|fail|delete)$/.test(kind),
    );
    this.#mayReturn = relevant.filter(({ kind }) => kind === "create").length > 1;
    this.#maxSteps = maxSteps;
  }

  run(): Verdict {
    const open: Configuration[] = [this.#furthest];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (++this.#steps > this.#maxSteps) return this.#verdict("undecided");
      const configuration = this.#withReads(next);
      if (configuration.first === this.#definite.length) return this.#verdict("yes");
      const key = keyOf(configuration);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      if (placed(configuration) > placed(this.#furthest)) this.#furthest = configuration;
      open.push(...this.#successors(configuration));
    }
    return this.#verdict("no");
  }

  /** Calls that fit as they are, and would change nothing later either, get their place at once. */
  #withReads(configuration: Configuration): Configuration {
    let current = configuration;
    for (;;) {
      const { state } = current;
      const read = this.#candidates(current).find((index) => this.#isRead(state, this.#definite[index]!));
      if (read === undefined) return current;
      current = this.#place(current, read, state);
    }
  }

  #isRead(state: State, operation: Operation): boolean {
    if (operation.kind === "create" || (operation.kind === "keepAlive" && this.#mayReturn)) return false;
    return after(state, operation) === state;
  }

  /** Last what is to be tried first. */
  #successors(configuration: Configuration): Configuration[] {
    const { state, createdBy } = configuration;
    const successors: Configuration[] = [];
    if (exists(state)) successors.push({ ...configuration, state: gone });
    const until = this.#nextAnswer(configuration);
    for (const [index, operation] of this.#unknown.entries()) {
      if (operation.invokedAt > until) break;
      const isCreate = operation.kind === "create";
      if (isCreate && createdBy.includes(index)) continue;
      const next = effect(state, operation);
      if (next === undefined) continue;
      successors.push({
        ...configuration,
        state: next,
        createdBy: isCreate ? [...createdBy, index].sort((a, b) => a - b) : createdBy,
      });
    }
    const candidates = this.#candidates(configuration).sort(
      (a, b) => this.#definite[b]!.answeredAt - this.#definite[a]!.answeredAt,
    );
    for (const index of candidates) {
      const next = after(state, this.#definite[index]!);
      if (next !== undefined) successors.push(this.#place(configuration, index, next));
    }
    return successors;
  }

  /** Calls that may be next: invoked before any other one was answered. */
  #candidates({ first, further }: Configuration): number[] {
    const indexes: number[] = [];
    let until = Number.POSITIVE_INFINITY;
    for (let index = first, skip = 0; index < this.#definite.length; index++) {
      if (further[skip] === index) {
        skip++;
        continue;
      }
      const { invokedAt, answeredAt } = this.#definite[index]!;
      if (invokedAt > until) break;
      indexes.push(index);
      until = Math.min(until, answeredAt);
    }
    return indexes;
  }

  #nextAnswer(configuration: Configuration): number {
    return Math.min(...this.#candidates(configuration).map((index) => this.#definite[index]!.answeredAt));
  }

  #place({ first, further, createdBy }: Configuration, index: number, state: State): Configuration {
    if (index !== first) {
      return { first, further: [...further, index].sort((a, b) => a - b), createdBy, state };
    }
    let [next, skip] = [first + 1, 0];
    while (further[skip] === next) {
      next++;
      skip++;
    }
    return { first: next, further: further.slice(skip), createdBy, state };
  }

  #verdict(result: Verdict["result"]): Verdict {
    const indexes = result === "yes" ? [] : this.#candidates(this.#furthest);
    return { result, stuckAt: indexes.map((index) => this.#definite[index]!), steps: this.#steps };
  }
}

function byInvocation(left: Operation, right: Operation): number {
  return left.invokedAt - right.invokedAt;
}

function placed({ first, further }: Configuration): number {
  return first + further.length;
}

function keyOf({ first, further, createdBy, state }: Configuration): string {
  return `${first};${further.join()};${createdBy.join()};${state.life};${state.progress};${state.mark}`;
}
