import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Account, account, type Census, CensusTally } from "../../src/domain/census.ts";
import type { SessionState } from "../../src/domain/session.ts";

const session = (members: object = {}) => ({
  owner: "alice",
  libraryItemId: "item-1",
  contentVersion: "v1",
  state: "ACTIVE" as SessionState,
  progress: 0,
  expiresAt: 0,
  ...members,
});
const none = { granted: 0, ended: 0 };

describe("a census", () => {
  test("counts sessions by state, and those that expire within a minute", () => {
    const tally = new CensusTally(1_000_000);
    const now = 1_002_000;
    for (const expiresAt of [now + 1, now + 59_999, now + 70_000, now + 3_600_000])
      tally.add(session({ expiresAt }), now);
    for (const state of ["CANCELED", "CANCELED", "ERROR"])
      tally.add(session({ state, expiresAt: now + 1 }), now);
    const census = tally.census(now, undefined, none, none);
    expect(census.states).toEqual({ ACTIVE: 4, CANCELED: 2, ERROR: 1 });
    expect(census.expiring).toBe(2);
  });

  test("takes no session for one that expires soon because the walk was long", () => {
    const tally = new CensusTally(0);
    // Three minutes are left at the start of a walk of three minutes: it is renewed long before the end.
    tally.add(session({ expiresAt: 180_000 }), 0);
    tally.add(session({ expiresAt: 210_000 }), 180_000);
    expect(tally.census(180_000, undefined, none, none).expiring).toBe(1);
  });

  test.each([1, 20, 240])("counts expired leases after a walk of %i minutes", (minutes) => {
    const took = minutes * 60_000;
    // The third has the length of the second, which the length of the first foretells.
    let previous = new CensusTally(0).census(took, undefined, none, none);
    const granted = { granted: 1_000, ended: 0 };
    const tally = new CensusTally(took, previous);
    for (let n = 0; n < 1_000; n++) {
      const now = took + (took * n) / 1_000;
      tally.add(session({ expiresAt: now + 300_000 }), now);
    }
    previous = tally.census(2 * took, previous, granted, granted);
    const end = Math.max(3 * took, 2 * took + 400_000);
    const { expired } = new CensusTally(2 * took, previous).census(end, previous, granted, granted);
    expect(expired).toBe(1_000);
    expect(previous.ledger.expiries.length).toBeLessThanOrEqual(120);
  });

  test("knows the items and principals with the most sessions, however many there are", () => {
    const tally = new CensusTally(0);
    for (let n = 0; n < 60_000; n++) {
      tally.add(session({ owner: `stranger ${n}` }), 0);
      if (n % 10 === 0) tally.add(session({ owner: "carol", libraryItemId: "item-2" }), 0);
    }
    const { topItems, topPrincipals } = tally.census(1, undefined, none, none);
    expect(topItems).toEqual([
      { id: "item-1", sessions: 60_000 },
      { id: "item-2", sessions: 6_000 },
    ]);
    expect(topPrincipals).toHaveLength(10);
    expect(topPrincipals[0]).toEqual({ id: "carol", sessions: 6_000 });
  });
});

/** The account of a census that nothing has disturbed: the next one. */
function next(previous: Account["previous"], state: Partial<Account> & { granted: number; ended?: number }) {
  const totals = { granted: state.granted, ended: state.ended ?? 0 };
  return account({ previous, before: totals, after: totals, active: 0, endedAt: 10_000, ...state });
}

function censusWith(ledger: Partial<Census["ledger"]>): Account["previous"] {
  return { startedAt: 0, ledger: { accounted: 0, granted: 0, excess: 0, expiries: [], ...ledger } };
}

describe("the account of expired leases", () => {
  test("is what was granted and is neither active nor ended", () => {
    const previous = censusWith({ accounted: 5, granted: 100, expiries: [50, 30, 20] });
    expect(next(previous, { granted: 100, ended: 20, active: 60 }).expired).toBe(15);
  });

  test.each([
    ["an empty store", { granted: 0 }, 0],
    ["a store that counted before its first census", { granted: 100, ended: 40, active: 50 }, 10],
    ["a store with sessions of an earlier release", { granted: 3, active: 1000 }, -997],
  ])("begins with none in %s", (_, state, accounted) => {
    expect(next(undefined, state)).toEqual({ expired: 0, ledger: { accounted, excess: 0, hidden: 0 } });
  });

  test("does not take sessions for expired that vanished before their time", () => {
    // All of a million, of which some were due: the Redis was emptied, and the totals are on another one of a cluster.
    const previous = censusWith({ granted: 1_000_000, expiries: [0, 700, 40, 0, 999_260] });
    const { expired, ledger } = next(previous, { granted: 1_000_000, active: 0, endedAt: 10_000 });
    expect(expired).toBe(740);
    const after = censusWith({ ...ledger, granted: 1_000_000 });
    expect(next(after, { granted: 1_000_000 }).expired).toBe(0);
  });

  test("counts what ran out during a walk that could not show it, because sessions were ended meanwhile", () => {
    const previous = censusWith({ granted: 10, expiries: [4] });
    // Four of ten have run out; three of the others were ended after the walk had met them.
    const [before, after] = [
      { granted: 10, ended: 0 },
      { granted: 10, ended: 3 },
    ];
    const first = account({ previous, before, after, active: 6, endedAt: 10_000 });
    expect(first.expired).toBe(1);
    const second = next(censusWith({ ...first.ledger, granted: 10 }), { granted: 10, ended: 3, active: 3 });
    expect(second.expired).toBe(3);
    // Nothing is hidden by a quiet walk: what vanishes later has not run out.
    expect(next(censusWith({ ...second.ledger, granted: 10 }), { granted: 10, ended: 3 }).expired).toBe(0);
  });

  test("begins again when the totals are lost", () => {
    const previous = censusWith({ accounted: 400, granted: 1_000_000, expiries: [900_000] });
    expect(next(previous, { granted: 30, active: 20 })).toEqual({
      expired: 0,
      ledger: { accounted: 10, excess: 0, hidden: 0 },
    });
  });

  test("is corrected when too many were accounted for, but not for one walk that met some twice", () => {
    const previous = censusWith({ accounted: 50, granted: 100, expiries: [50] });
    const first = next(previous, { granted: 100, active: 80 });
    expect(first).toEqual({ expired: 0, ledger: { accounted: 50, excess: 30, hidden: 0 } });
    const twice = censusWith({ ...first.ledger, granted: 100, expiries: [80] });
    expect(next(twice, { granted: 100, active: 50 })).toEqual({
      expired: 0,
      ledger: { accounted: 50, excess: 0, hidden: 0 },
    });
    const second = next(twice, { granted: 100, active: 80 });
    expect(second.ledger.accounted).toBe(20);
    const corrected = censusWith({ ...second.ledger, granted: 100, expiries: [80] });
    expect(next(corrected, { granted: 100, active: 60 }).expired).toBe(20);
  });

  test("never counts a lease that has not expired, whatever happens during walks, and each one in the end", () => {
    const step = fc.record({
      act: fc.constantFrom("create", "end", "expire", "report", "walk"),
      session: fc.nat(30),
      walked: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const world = new World();
        for (const each of steps) world.step(each);
        world.walk(0);
        world.walk(0);
        expect(world.counted).toBe(world.expired);
      }),
    );
  });
});

interface Step {
  readonly act: "create" | "end" | "expire" | "report" | "walk";
  readonly session: number;
  readonly walked: number;
}

/** Sessions with an odd id never expire. */
const isShort = (id: number) => id % 2 === 0;

/** Sessions, what is reported of them late, and walks during which they come and go. */
class World {
  #now = 0;
  #active: number[] = [];
  #granted = 0;
  #ended = 0;
  #reported = none;
  #previous: Census | undefined;
  #next = 0;
  /** What happens next, to happen during a walk. */
  #steps: Step[] = [];
  expired = 0;
  counted = 0;

  step(step: Step): void {
    this.#steps.push(step);
    if (step.act === "walk") this.walk(step.walked);
    else if (this.#steps.length > 8) this.#act(this.#steps.shift()!);
  }

  walk(during: number): void {
    if (during % 2 === 1) this.#report();
    const before = this.#reported;
    const tally = new CensusTally(this.#now);
    const end = Math.max(this.#next, 1);
    for (let id = 0; id < end; id++) {
      if (this.#active.includes(id))
        tally.add(session({ expiresAt: isShort(id) ? this.#now : this.#now + 1e9 }), this.#now);
      for (let n = 0; n < during && this.#steps.length > 0 && id % 3 === 0; n++)
        this.#act(this.#steps.shift()!);
    }
    if (during === 0) for (const step of this.#steps.splice(0)) this.#act(step);
    this.#report();
    const census = tally.census(this.#now, this.#previous, before, this.#reported);
    this.#previous = census;
    this.counted += census.expired;
    expect(census.expired).toBeGreaterThanOrEqual(0);
    expect(this.counted).toBeLessThanOrEqual(this.expired);
  }

  #report(): void {
    this.#reported = { granted: this.#granted, ended: this.#ended };
  }

  #act({ act, session: index }: Step): void {
    this.#now += 1_000;
    const choice = act === "expire" ? this.#active.filter(isShort) : this.#active;
    if (act === "create") {
      this.#active.push(this.#next++);
      this.#granted++;
    } else if (act === "report") this.#report();
    else if (choice.length > 0 && act !== "walk") {
      this.#active.splice(this.#active.indexOf(choice[index % choice.length]!), 1);
      if (act === "end") this.#ended++;
      else this.expired++;
    }
  }
}
