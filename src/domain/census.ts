/**
 * The count of all sessions, and of the leases that ran out. Nothing happens when a lease runs out, in neither store: a
 * keep-alive would have to pay for it. So one process at a time walks over all sessions, and what is missing has expired.
 */
import type { LeaseTotals } from "./lease-counts.ts";
import type { Session, SessionState } from "./session.ts";

/** A count of all sessions. Times are in milliseconds since the epoch, by the clock of the store. */
export interface Census {
  readonly startedAt: number;
  readonly endedAt: number;
  /** Number of sessions. */
  readonly states: Readonly<Record<SessionState, number>>;
  /** Sessions in state ACTIVE that expire within a minute unless they are renewed. */
  readonly expiring: number;
  /** Items and principals with the most sessions. */
  readonly topItems: readonly TopCount[];
  readonly topPrincipals: readonly TopCount[];
  /** Leases that ran out since the census before; it ended so many milliseconds earlier. */
  readonly expired: number;
  readonly sinceMs: number;
  readonly ledger: Ledger;
}

export interface TopCount {
  readonly id: string;
  readonly sessions: number;
}

/** What the next census needs to know of this one. */
export interface Ledger {
  /** Of the leases that were granted, those that are accounted for as over without having been ended. */
  readonly accounted: number;
  /** Leases granted when it began. */
  readonly granted: number;
  /** By how much too many were accounted for; corrected if the next census finds so, too. */
  readonly excess: number;
  /** Leases that may have run out before it ended without being counted; unset in a census of an earlier release. */
  readonly hidden?: number;
  /** How many ACTIVE sessions could run out in each `stepMs` from the start. */
  readonly expiries: readonly number[];
  /** Unset in a census of an earlier release: `minStepMs`. */
  readonly stepMs?: number;
}

const minStepMs = 5_000;
/** Steps that are counted; at least ten minutes. */
const maxSteps = 120;
/** The next census ends after about twice the time that one takes. */
const censusesInSteps = 3;
const expiringMs = 60_000;
const topLength = 10;
/** Different items and principals that are counted; with more of them, the smaller counts are approximate. */
const maxCounted = 10_000;
/** The clocks of two servers of a store may differ so much. */
const toleranceMs = 1_000;

/** Counts the sessions that a walk meets, however long it takes. */
export class CensusTally {
  readonly startedAt: number;
  readonly #stepMs: number;
  #expiring = 0;
  readonly states: Record<SessionState, number> = { ACTIVE: 0, CANCELED: 0, ERROR: 0 };
  readonly expiries: number[] = [];
  readonly #items = new TopCounter();
  readonly #principals = new TopCounter();

  /** @param previous says how long this one may take */
  constructor(startedAt: number, previous?: Pick<Census, "startedAt" | "endedAt">) {
    this.startedAt = startedAt;
    const tookMs = previous === undefined ? 0 : previous.endedAt - previous.startedAt;
    this.#stepMs = Math.max(minStepMs, Math.ceil((censusesInSteps * tookMs) / maxSteps));
  }

  /** @param now when it was read: a session that was met early has been renewed before the walk ends */
  add({ state, expiresAt, libraryItemId, owner }: Omit<Session, "id">, now: number): void {
    this.states[state]++;
    this.#items.add(libraryItemId);
    this.#principals.add(owner);
    if (state !== "ACTIVE") return;
    if (expiresAt - now < expiringMs) this.#expiring++;
    const step = Math.max(0, Math.floor((expiresAt - this.startedAt) / this.#stepMs));
    if (step >= maxSteps) return;
    while (this.expiries.length <= step) this.expiries.push(0);
    this.expiries[step]!++;
  }

  /** @param before totals from before the walk @param after those that all replicas have added to after it */
  census(endedAt: number, previous: Census | undefined, before: LeaseTotals, after: LeaseTotals): Census {
    const { startedAt, states, expiries } = this;
    const { expired, ledger } = account({
      previous,
      before,
      after,
      endedAt,
      active: states.ACTIVE,
    });
    return {
      startedAt,
      endedAt,
      states,
      expiring: this.#expiring,
      topItems: this.#items.top(),
      topPrincipals: this.#principals.top(),
      expired,
      sinceMs: previous === undefined ? 0 : endedAt - previous.endedAt,
      ledger: { ...ledger, granted: before.granted, expiries, stepMs: this.#stepMs },
    };
  }
}

export interface Account {
  readonly previous: Pick<Census, "startedAt" | "ledger"> | undefined;
  /** Totals from before the walk. */
  readonly before: LeaseTotals;
  /** Totals that have everything from before the end of the walk. */
  readonly after: LeaseTotals;
  readonly endedAt: number;
  /** Sessions in state ACTIVE that the walk has met. */
  readonly active: number;
}

/**
 * How many leases ran out since the census before. What was granted is active, was ended, or has run out. While sessions
 * come and go during the walk that gives bounds instead of a number: at least `least`, at most `most` have run out. The
 * lower one counts, so that nothing is counted that may not have happened.
 *
 * Of these, only as many count as could have run out at all: because their time was over, or because they were granted
 * since, or because the walk before may have hidden them: when sessions were ended during it. Sessions that vanished
 * otherwise, as when a Redis is emptied or an older copy takes its place, have not expired; they are accounted for without
 * being counted.
 */
export function account({ previous, before, after, endedAt, active }: Account): {
  readonly expired: number;
  readonly ledger: Pick<Ledger, "accounted" | "excess" | "hidden">;
} {
  const least = before.granted - after.ended - active;
  const most = after.granted - before.ended - active;
  // The first census, or the totals were lost. Sessions from before the first total may exist as well.
  if (previous === undefined || before.granted < previous.ledger.granted)
    return { expired: 0, ledger: { accounted: Math.max(least, Math.min(most, 0)), excess: 0, hidden: 0 } };
  const { ledger } = previous;
  const excess = Math.max(0, ledger.accounted - most);
  // One walk may have met some sessions twice.
  const accounted = ledger.accounted - Math.min(excess, ledger.excess);
  const grantedSince = after.granted - ledger.granted;
  const overdue = overdueIn(ledger, endedAt + toleranceMs - previous.startedAt);
  const possible = overdue + grantedSince + (ledger.hidden ?? 0);
  const missing = Math.max(0, least - accounted);
  const expired = Math.min(missing, possible);
  const hidden = Math.min(possible - expired, Math.max(0, most - accounted - missing));
  return { expired, ledger: { accounted: accounted + missing, excess, hidden } };
}

/** How many sessions could run out within so many milliseconds. */
function overdueIn({ expiries, stepMs = minStepMs }: Ledger, ms: number): number {
  return expiries.slice(0, Math.floor(ms / stepMs) + 1).reduce((sum, each) => sum + each, 0);
}

/** Finds what occurs most, in bounded memory. */
class TopCounter {
  #counts = new Map<string, number>();

  add(id: string): void {
    const count = this.#counts.get(id);
    this.#counts.set(id, (count ?? 0) + 1);
    if (count === undefined && this.#counts.size > maxCounted) this.#drop();
  }

  top(): TopCount[] {
    return this.#sorted()
      .slice(0, topLength)
      .map(([id, sessions]) => ({ id, sessions }));
  }

  #drop(): void {
    this.#counts = new Map(this.#sorted().slice(0, maxCounted / 2));
  }

  #sorted(): [string, number][] {
    return [...this.#counts].sort(([, a], [, b]) => b - a);
  }
}
