import { describe, expect, test } from "vitest";
import { check } from "../chaos/checker.ts";
import type { Operation } from "../chaos/history.ts";
import { modelHistory, modelTerms } from "../chaos/model.ts";
import { seededRandom } from "../chaos/random.ts";
import { describeViolation, type ViolationKind, violationKinds } from "../chaos/violation.ts";

const terms = { leaseMs: 1000, retentionMs: 1000, allowanceMs: 50, answerMs: 3000, cutMs: 2000 };

/** A call of alice's on session `s` that takes from one time to the other. */
function call(
  kind: Operation["kind"],
  [invokedAt, answeredAt]: readonly [number, number],
  rest: Partial<Operation> = {},
): Operation {
  const session = kind === "list" ? undefined : "s";
  const base = { kind, worker: 0, protocol: "grpc", principal: "alice", outcome: "ok" as const };
  return { ...base, session, invokedAt, answeredAt, ...rest };
}

const created = call("create", [0, 10], { item: "a" });
const active = (progress: number, expiresAt = 5000) =>
  ({ state: "ACTIVE", progress, expiresAt, item: "a" }) as const;
const ids = (...names: readonly string[]) => ({ ids: new Set(names) });
const notFound = { outcome: "not_found" } as const;
const unknown = { outcome: "unknown" } as const;

function kindsIn(history: readonly Operation[]): ViolationKind[] {
  return check(history, terms).violations.map(({ kind }) => kind);
}

describe("a planted lie is found", () => {
  const lies: [ViolationKind, string, Operation[]][] = [
    ["lost lease", "gone while a creation promises it", [call("get", [20, 30], notFound)]],
    [
      "lost lease",
      "gone before the expiration that was sent",
      [
        call("keepAlive", [20, 30], { shown: { progress: 0, expiresAt: 9000 } }),
        call("get", [8000, 8010], notFound),
      ],
    ],
    ["lost lease", "a link closed while the session lives", [call("download", [20, 30], notFound)]],
    [
      "acknowledged after the end",
      "a keep-alive after a cancel",
      [call("cancel", [20, 30]), call("keepAlive", [40, 50])],
    ],
    ["acknowledged after the end", "a second cancel", [call("cancel", [20, 30]), call("cancel", [40, 50])]],
    [
      "acknowledged after the end",
      "a download after the session failed",
      [call("fail", [20, 30], { mark: "m" }), call("download", [40, 50])],
    ],
    [
      "acknowledged after the end",
      "a keep-alive after another one was refused",
      [
        call("cancel", [15, 16], unknown),
        call("keepAlive", [20, 30], { outcome: "not_active" }),
        call("prepare", [40, 50]),
      ],
    ],
    [
      "state went back",
      "ACTIVE again",
      [call("cancel", [20, 30]), call("get", [40, 50], { shown: active(0) })],
    ],
    [
      "state went back",
      "another final state",
      [
        call("cancel", [20, 30]),
        call("get", [40, 50], { shown: { ...active(0), state: "ERROR", mark: "m" } }),
      ],
    ],
    [
      "progress went back",
      "less than was acknowledged",
      [call("keepAlive", [20, 30], { progress: 7 }), call("get", [40, 50], { shown: active(6) })],
    ],
    [
      "expiration went back",
      "earlier than was sent",
      [call("get", [20, 30], { shown: active(0, 5000) }), call("get", [40, 50], { shown: active(0, 4999) })],
    ],
    [
      "back from the dead",
      "read after it was deleted",
      [call("delete", [20, 30]), call("get", [40, 50], { shown: active(0) })],
    ],
    [
      "back from the dead",
      "renewed after it had expired",
      [call("get", [2000, 2010], notFound), call("keepAlive", [2020, 2030])],
    ],
    ["shown after expiration", "still there", [call("get", [2000, 2010], { shown: active(0, 1900) })]],
    ["wrong item", "another item", [call("get", [20, 30], { shown: { ...active(0), item: "b" } })]],
    [
      "two sessions for one token",
      "two ids",
      [
        call("create", [20, 30], { item: "a", session: "t", token: "1" }),
        call("create", [40, 50], { session: "u", token: "1" }),
      ],
    ],
    [
      "not linearizable",
      "two ends at the same time, both acknowledged",
      [call("cancel", [20, 50]), call("fail", [30, 60], { mark: "m" })],
    ],
    ["not linearizable", "progress that nobody sent", [call("get", [20, 30], { shown: active(3) })]],
    [
      "not linearizable",
      "progress that is sent later",
      [call("get", [20, 30], { shown: active(3) }), call("keepAlive", [40, 50], { progress: 3 })],
    ],
    [
      "not linearizable",
      "the error of nobody",
      [
        call("fail", [20, 60], { mark: "mine", ...unknown }),
        call("get", [70, 80], { shown: { ...active(0), state: "ERROR", mark: "another" } }),
      ],
    ],
    [
      "not linearizable",
      "refused while it is ACTIVE",
      [call("keepAlive", [20, 30], { outcome: "not_active" })],
    ],
    [
      "not linearizable",
      "two reads in the wrong order during one keep-alive",
      [
        call("keepAlive", [20, 100], { progress: 5, shown: { progress: 5 } }),
        call("cancel", [30, 100]),
        call("get", [40, 50], { shown: { ...active(0), state: "CANCELED" } }),
        call("get", [60, 70], { shown: { ...active(5), state: "CANCELED" } }),
      ],
    ],
    ["list misses a session", "not in it", [call("list", [20, 30], { shown: ids() })]],
    [
      "list misses a session",
      "not in it after it ended",
      [call("cancel", [20, 30]), call("list", [900, 910], { shown: ids() })],
    ],
    [
      "list has a dead session",
      "listed after it was deleted",
      [call("delete", [20, 30]), call("list", [40, 50], { shown: ids("s") })],
    ],
    ["seen by a stranger", "read", [call("get", [20, 30], { principal: "bob", shown: active(0) })]],
    [
      "seen by a stranger",
      "refused for its state",
      [call("cancel", [20, 30]), call("keepAlive", [40, 50], { principal: "bob", outcome: "not_active" })],
    ],
    [
      "seen by a stranger",
      "in the list of another principal",
      [call("list", [20, 30], { principal: "bob", shown: ids("s") })],
    ],
    [
      "list has a session of nobody",
      "one more than creations without an answer",
      [
        call("create", [12, 20], { session: undefined, ...unknown }),
        call("list", [20, 30], { shown: ids("s", "t", "u") }),
      ],
    ],
    ["wrong bytes", "not what the item has", [call("download", [20, 30], { shown: { damage: "wrong" } })]],
    [
      "download after the end",
      "for seconds",
      [call("download", [20, 30], { endedAt: 2200 }), call("cancel", [40, 50])],
    ],
    ["answered too late", "after seconds", [call("keepAlive", [20, 3021], unknown)]],
    ["unexpected answer", "an internal error", [call("get", [20, 30], { outcome: "unexpected" })]],
  ];
  test("of every kind", () => {
    // The two that are about time have tests of their own, chaos-readiness.test.ts.
    const others: ViolationKind[] = ["ready while writes fail", "served too late"];
    expect(new Set([...lies.map(([kind]) => kind), ...others])).toEqual(new Set(Object.keys(violationKinds)));
  });

  test.each(lies)("%s: %s", (kind, _, operations) => {
    const { violations } = check([created, ...operations], terms);
    expect(violations.map((violation) => violation.kind)).toEqual([kind]);
    expect(describeViolation(violations[0]!, 0)).toContain(kind);
    for (const { kind } of violations[0]!.operations)
      expect(describeViolation(violations[0]!, 0)).toContain(kind);
  });
});

describe("an answer that is right is accepted", () => {
  const truths: [string, Operation[]][] = [
    ["gone after the lease", [call("get", [1011, 1012], notFound)]],
    ["gone when the lease ends, by another clock", [call("get", [940, 960], notFound)]],
    [
      "gone after a deletion whose answer is unknown",
      [call("delete", [20, 30], unknown), call("get", [40, 50], notFound)],
    ],
    ["gone before a deletion is answered", [call("delete", [20, 90]), call("get", [40, 50], notFound)]],
    ["a link closed while a cancel runs", [call("cancel", [20, 90]), call("download", [40, 50], notFound)]],
    [
      "refused before the cancel is answered",
      [
        call("cancel", [20, 90]),
        call("get", [40, 50], { shown: { ...active(0), state: "CANCELED" } }),
        call("keepAlive", [60, 70], { outcome: "not_active" }),
      ],
    ],
    ["acknowledged while the cancel runs", [call("cancel", [20, 90]), call("keepAlive", [40, 50])]],
    [
      "a keep-alive that takes effect long after its answer was lost",
      [
        call("keepAlive", [20, 30], { progress: 9, ...unknown }),
        call("get", [40, 50], { shown: active(0) }),
        call("get", [900, 910], { shown: active(9) }),
      ],
    ],
    ["a cancel that never took effect", [call("cancel", [20, 30], unknown), call("keepAlive", [900, 910])]],
    [
      "a late keep-alive with less progress",
      [
        call("keepAlive", [20, 30], { progress: 9 }),
        call("keepAlive", [40, 50], { progress: 3, shown: { progress: 9 } }),
      ],
    ],
    ["a stranger does not find it", [call("get", [20, 30], { principal: "bob", ...notFound })]],
    [
      "a download that is cut soon after the end",
      [call("download", [20, 30], { endedAt: 1900 }), call("cancel", [40, 50])],
    ],
    ["a list during the creation", [call("list", [5, 30], { shown: ids() })]],
    [
      "a list with a session of which only the creation is unknown",
      [
        call("create", [20, 30], { session: undefined, ...unknown }),
        call("list", [40, 50], { shown: ids("s", "t") }),
      ],
    ],
    [
      "a repeated creation after a deletion",
      [
        call("create", [20, 30], { item: "a", session: "t", token: "1" }),
        call("delete", [40, 50], { session: "t" }),
        call("create", [60, 70], { item: "a", session: "t", token: "1" }),
        call("get", [80, 90], { session: "t", shown: active(0) }),
      ],
    ],
    [
      "a creation of unknown outcome that comes after the deletion",
      [
        call("create", [20, 30], { item: "a", session: undefined, token: "1", ...unknown }),
        call("create", [40, 50], { item: "a", session: "t", token: "1" }),
        call("keepAlive", [52, 54], { session: "t", progress: 5 }),
        call("delete", [60, 70], { session: "t" }),
        call("get", [80, 90], { session: "t", shown: active(0) }),
      ],
    ],
    [
      "a call that was not sent",
      [call("cancel", [20, 30], { outcome: "not_sent" }), call("keepAlive", [40, 50])],
    ],
  ];
  test.each(truths)("%s", (_, operations) => {
    expect(kindsIn([created, ...operations])).toEqual([]);
  });
});

describe.each([
  ["sequential", 1, 0],
  ["concurrent", 12, 0],
  ["concurrent, with unknown outcomes", 12, 0.15],
])("%s histories of a correct service", (_, clients, share) => {
  const histories = Array.from({ length: 60 }, (_, seed) =>
    modelHistory({ random: seededRandom(seed), operations: 400, clients, unknown: share }),
  );

  test("are accepted", () => {
    for (const [seed, history] of histories.entries()) {
      const { violations, undecided } = check(history, modelTerms);
      expect(
        violations.map((each) => describeViolation(each, 0)),
        `seed ${seed}`,
      ).toEqual([]);
      expect(undecided).toBe(0);
    }
  });

  test.each(Object.entries(mutations()))("with %s are refused", (_, mutate) => {
    let planted = 0;
    for (const [seed, history] of histories.entries()) {
      const lying = mutate(history, seed);
      if (lying === undefined) continue;
      planted++;
      expect(check(lying, modelTerms).violations.length, `seed ${seed}`).toBeGreaterThan(0);
    }
    expect(planted).toBeGreaterThan(10);
  });
});

/** Ways to spoil a correct history so that no correct service could have given it. */
function mutations(): Record<string, (history: Operation[], seed: number) => Operation[] | undefined> {
  const replaceOne = (
    history: Operation[],
    seed: number,
    fits: (operation: Operation) => boolean,
    change: (operation: Operation) => Operation | Operation[],
  ) => {
    const places = history.flatMap((operation, index) => (fits(operation) ? [index] : []));
    if (places.length === 0) return undefined;
    const place = seededRandom(seed).pick(places);
    return history.flatMap((operation, index) => (index === place ? change(operation) : [operation]));
  };
  const isRead = ({ kind, outcome }: Operation) => kind === "get" && outcome === "ok";
  return {
    "a read of progress that nobody sent": (history, seed) =>
      replaceOne(history, seed, isRead, (read) => ({ ...read, shown: { ...read.shown, progress: 101 } })),
    "a read of another final state": (history, seed) =>
      replaceOne(
        history,
        seed,
        (read) => isRead(read) && read.shown?.state !== "ACTIVE",
        (read) => ({ ...read, shown: { ...read.shown, state: "ERROR", mark: "of nobody" } }),
      ),
    "a keep-alive after an end": (history, seed) =>
      replaceOne(
        history,
        seed,
        ({ kind, outcome }) => kind === "cancel" && outcome === "ok",
        (cancel) => [
          cancel,
          {
            ...cancel,
            kind: "keepAlive",
            invokedAt: cancel.answeredAt + 1,
            answeredAt: cancel.answeredAt + 2,
          },
        ],
      ),
    "a session that is not found right after it was renewed": (history, seed) =>
      replaceOne(
        history,
        seed,
        ({ kind, outcome, session, answeredAt }) =>
          kind === "keepAlive" &&
          outcome === "ok" &&
          !history.some(
            (each) => each.session === session && each.kind === "delete" && each.invokedAt <= answeredAt + 2,
          ),
        (renewal) => [
          renewal,
          {
            ...renewal,
            kind: "get",
            ...notFound,
            invokedAt: renewal.answeredAt + 1,
            answeredAt: renewal.answeredAt + 2,
          },
        ],
      ),
    "a stranger who sees a session": (history, seed) =>
      replaceOne(history, seed, isRead, (read) => [read, { ...read, principal: "eve" }]),
  };
}

test("tens of thousands of operations are checked in seconds", () => {
  const random = seededRandom(1);
  const history = modelHistory({ random, operations: 30_000, clients: 24, unknown: 0.1 });
  const begun = performance.now();
  const { violations, undecided } = check(history, modelTerms);
  expect([violations.length, undecided]).toEqual([0, 0]);
  // It takes less than a second; the bound only tells seconds from minutes.
  expect(performance.now() - begun).toBeLessThan(20_000);
});

test("a session with thousands of calls, hundreds of them unknown, is checked in seconds", () => {
  const random = seededRandom(2);
  const history: Operation[] = [created];
  let progress = 0;
  for (let time = 20; history.length < 4000; time += 2) {
    if (random.chance(0.1)) {
      progress = Math.min(100, progress + random.below(2));
      history.push(
        call("keepAlive", [time, time + 50], { progress: random.below(progress + 1), ...unknown }),
      );
      history.push(call("cancel", [time, time + 50], { outcome: "not_sent" }));
    }
    history.push(call("keepAlive", [time, time + random.below(40) + 1], { progress }));
  }
  const begun = performance.now();
  expect(check(history, terms)).toMatchObject({ violations: [], undecided: 0 });
  expect(performance.now() - begun).toBeLessThan(20_000);
});
