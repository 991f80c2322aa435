import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Admission } from "../../src/calls/admission.ts";
import { Connection } from "../../src/calls/connection.ts";

function connections(count: number): Connection[] {
  return Array.from({ length: count }, () => new Connection("127.0.0.1"));
}

/** How many of so many calls of weight 1 may begin. */
function enter(admission: Admission, connection: Connection, calls: number): number {
  let admitted = 0;
  for (let call = 0; call < calls; call++) if (admission.enter(connection, 1)) admitted++;
  return admitted;
}

describe("the load", () => {
  test("is bounded; one connection may have four fifths of it", () => {
    const admission = new Admission(100);
    const [only] = connections(1);
    expect(enter(admission, only!, 500)).toBe(80);
    expect(admission.load).toBe(80);
  });

  test("of a connection that floods leaves room for newcomers, up to the limit", () => {
    const admission = new Admission(100);
    const [flood, ...others] = connections(26);
    enter(admission, flood!, 500);
    expect(others.map((other) => enter(admission, other, 1))).toEqual([
      ...Array(20).fill(1),
      ...Array(5).fill(0),
    ]);
    expect(admission.load).toBe(100);
  });

  test("becomes an equal share for each connection as the calls of the flood end", () => {
    const admission = new Admission(100);
    const [flood, other] = connections(2) as [Connection, Connection];
    enter(admission, flood, 500);
    for (let ended = 0; ended < 60; ended++) {
      admission.leave(flood, 1);
      enter(admission, other, 1);
      enter(admission, flood, 10);
    }
    expect([flood.load, other.load]).toEqual([40, 40]);
  });

  test("is not divided into shares while half of it is free", () => {
    const admission = new Admission(100);
    const [gateway, ...others] = connections(11);
    for (const other of others) enter(admission, other, 1);
    expect(enter(admission, gateway!, 500)).toBe(40);
  });

  test("is at least one call at a time", () => {
    const admission = new Admission(1);
    const [one, other] = connections(2) as [Connection, Connection];
    expect([enter(admission, one, 2), enter(admission, other, 1)]).toEqual([1, 0]);
    admission.leave(one, 1);
    expect(enter(admission, other, 1)).toBe(1);
  });

  test("follows a limit that changes; what is beyond a lower one may end", () => {
    const admission = new Admission(10);
    const [one, other] = connections(2) as [Connection, Connection];
    expect(enter(admission, one, 20)).toBe(8);
    admission.setLimit(100);
    expect(enter(admission, one, 500)).toBe(72);
    admission.setLimit(20);
    expect([enter(admission, one, 1), enter(admission, other, 1)]).toEqual([0, 0]);
    for (let ended = 0; ended < 61; ended++) admission.leave(one, 1);
    expect([admission.load, enter(admission, other, 1), enter(admission, other, 30)]).toEqual([19, 1, 0]);
  });

  test("may be one call that weighs more than the limit, when there is no other", () => {
    const admission = new Admission(10);
    const [one, other] = connections(2) as [Connection, Connection];
    expect(admission.enter(one, 125)).toBe(true);
    expect(admission.enter(one, 1)).toBe(false);
    expect(admission.enter(other, 1)).toBe(false);
    admission.leave(one, 125);
    expect(admission.enter(other, 1)).toBe(true);
  });
});

/** Calls that begin on some connection with some weight, and calls that end: the n-th of those in flight. */
const histories = fc.array(
  fc.oneof(
    fc.record({ on: fc.nat(7), weight: fc.constantFrom(1, 1, 1, 1.25, 12.5, 125) }),
    fc.record({ end: fc.nat() }),
  ),
  { maxLength: 200 },
);

test("under any history the load is that of the calls in flight, and exceeds the limit by less than one call", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), histories, (limit, history) => {
      const admission = new Admission(limit);
      const all = connections(8);
      const inFlight: { connection: Connection; weight: number }[] = [];
      for (const step of history) {
        if ("end" in step) {
          const [ended] = inFlight.splice(step.end % Math.max(1, inFlight.length), 1);
          if (ended !== undefined) admission.leave(ended.connection, ended.weight);
        } else {
          const connection = all[step.on]!;
          const before = admission.load;
          const isAdmitted = admission.enter(connection, step.weight);
          if (isAdmitted) {
            inFlight.push({ connection, weight: step.weight });
            expect(before).toBeLessThan(limit);
          } else {
            expect(admission.load).toBe(before);
            // A newcomer is refused only when the limit is reached.
            if (connection.load === 0) expect(before).toBeGreaterThanOrEqual(limit);
          }
        }
        expect(admission.load).toBe(inFlight.reduce((sum, { weight }) => sum + weight, 0));
        expect(all.reduce((sum, { load }) => sum + load, 0)).toBe(admission.load);
      }
      for (const { connection, weight } of inFlight) admission.leave(connection, weight);
      expect([admission.load, ...all.map(({ load }) => load)]).toEqual(Array(9).fill(0));
      // The history leaves no trace: as many calls as at first may begin.
      expect(enter(admission, all[0]!, limit * 2)).toBe(Math.max(1, Math.floor(limit * 0.8)));
    }),
    { numRuns: 500 },
  );
});
