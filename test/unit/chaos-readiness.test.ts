import { describe, expect, test } from "vitest";
import { type Recovery, readinessViolations, recoveryViolations, type Sample } from "../chaos/readiness.ts";

/** Samples four times a second, six probes in turn, from what `at` says about each time in seconds. */
function samples(seconds: number, at: (time: number, probe: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: seconds * 4 }, (_, index): Sample => {
    const [time, probe] = [index / 4, index % 6];
    const good = { replica: "http://replica", isReady: true, probe, isWritten: true };
    return { ...good, at: time * 1000, answeredAt: time * 1000 + 5, ...at(time, probe) };
  });
}

describe("a replica that says it is ready", () => {
  const violations = (list: Sample[]) => readinessViolations(list, 0).map(({ kind }) => kind);
  const lie = ["ready while writes fail"];

  test("may do so while writes work", () => {
    expect(violations(samples(20, () => ({})))).toEqual([]);
  });

  test("may do so for 5 s after writes began to fail", () => {
    expect(violations(samples(20, (time) => ({ isWritten: time < 10, isReady: time < 14 })))).toEqual([]);
  });

  test("may not do so for longer", () => {
    expect(violations(samples(20, (time) => ({ isWritten: time < 10, isReady: time < 17 })))).toEqual(lie);
  });

  test("may not do so while only some writes fail, as those to one shard of a cluster", () => {
    expect(violations(samples(20, (_, probe) => ({ isWritten: probe !== 3 })))).toEqual(lie);
  });

  test("may do so when writes fail now and then", () => {
    expect(violations(samples(60, (time) => ({ isWritten: time % 3 !== 0 })))).toEqual([]);
  });

  test("is not excused by another replica", () => {
    const other = samples(20, () => ({ replica: "http://other" }));
    const broken = samples(20, () => ({ isWritten: false }));
    expect(violations([...other, ...broken])).toEqual(lie);
  });
});

describe("a replica serves again in time", () => {
  const recovery: Recovery = { what: "the fault", from: 10_000, withinMs: 3000, to: 18_000 };
  const violations = (list: Sample[]) => recoveryViolations(list, [recovery]).map(({ text }) => text);

  test("when its writes work by then", () => {
    expect(violations(samples(20, (time) => ({ isWritten: time > 12.5 })))).toEqual([]);
  });

  test("not when one fails later", () => {
    const list = samples(20, (time) => ({ isWritten: time > 12.5 && time !== 17 }));
    expect(violations(list)).toEqual([expect.stringContaining("7.0 s after the fault")]);
  });

  test("whatever happens to a write that runs when the next fault comes", () => {
    const list = samples(20, (time) => ({ answeredAt: time * 1000 + 600, isWritten: time < 17.5 }));
    expect(violations(list)).toEqual([]);
  });

  test("whatever happens after the next fault", () => {
    expect(violations(samples(20, (time) => ({ isWritten: time < 18 })))).toEqual([]);
  });
});
