import { expect, test } from "vitest";
import { type OverviewFacts, problemsOf } from "../../src/domain/problems.ts";
import type { SeenReplica } from "../../src/domain/replica-store.ts";

const now = 1_000_000;
const replica = (members: Partial<SeenReplica> = {}) =>
  ({ name: "one:8080", version: "1.0.0", isReady: true, seenAt: now, ...members }) as SeenReplica;
const well: OverviewFacts = {
  now,
  replicas: [replica(), replica({ name: "two:8080", seenAt: now - 4_000 })],
  census: census(10, 1000),
  isReachable: true,
  isWritable: true,
  usedBytes: 90,
  maxBytes: 100,
};

/** @param expired in the last three seconds */
function census(expired: number, active: number) {
  return {
    states: { ACTIVE: active, CANCELED: 0, ERROR: 0 },
    expired,
    sinceMs: 3_000,
  } as OverviewFacts["census"];
}

test("a service that is well has no problems", () => {
  expect(problemsOf(well)).toEqual([]);
  expect(problemsOf({ ...well, census: undefined, maxBytes: undefined })).toEqual([]);
});

test.each<[string, Partial<OverviewFacts>, RegExp]>([
  ["a store that does not respond", { isReachable: false, isWritable: false }, /^The store does not respond/],
  ["a store that can't be written", { isWritable: false }, /^No session can be created/],
  ["a store that is nearly full", { usedBytes: 91 }, /^The store uses 91 % of its memory/],
  [
    "a silent replica",
    { replicas: [replica({ seenAt: now - 7_500 })] },
    /^Replica one:8080 has been silent for 7 s/,
  ],
  [
    "a replica that is not ready",
    { replicas: [replica({ isReady: false })] },
    /^Replica one:8080 is not ready/,
  ],
  [
    "replicas of different versions",
    { replicas: [replica(), replica({ version: "0.9.0" })] },
    /^The replicas run different versions: 0\.9\.0, 1\.0\.0\./,
  ],
  [
    "leases that expire in masses",
    { census: census(11, 1000) },
    /^Leases expire in masses, at 220 a minute with 1000/,
  ],
])("%s is one", (_, facts, problem) => {
  expect(problemsOf({ ...well, ...facts })).toEqual([expect.stringMatching(problem)]);
});

test("few leases that expire are none, whatever part of all they are", () => {
  expect(problemsOf({ ...well, census: census(9, 0) })).toEqual([]);
});
