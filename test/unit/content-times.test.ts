import { expect, test } from "vitest";
import { timesOf } from "../../src/content/stored-files.ts";

const last = Date.parse("9999-12-31T23:59:59.999Z");

test.each([
  { of: "one", modifiedMs: [7], times: [7, 7] },
  { of: "many, in any order", modifiedMs: [5, 9, 3, 4], times: [3, 9] },
  { of: "before 1970", modifiedMs: [-1], times: [0, 0] },
  { of: "beyond what a date can be", modifiedMs: [9e18], times: [last, last] },
  { of: "both", modifiedMs: [9e18, -9e18], times: [0, last] },
  { of: "more than a function takes arguments", modifiedMs: Array(500_000).fill(1), times: [1, 1] },
])("times of $of", ({ modifiedMs, times: [createdAt, modifiedAt] }) => {
  expect(timesOf(modifiedMs)).toEqual({ createdAt, modifiedAt });
});
