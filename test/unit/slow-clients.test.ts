import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Backlog, SlowClients } from "../../src/server/slow-clients.ts";

const mib = 2 ** 20;
const takeMs = 30_000;
const sweepMs = 250;

let clients: SlowClients;
/** Holders in the order in which their answers were given up. */
let cuts: string[];
const holders = new Map<string, object>();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  clients = new SlowClients({ takeMs, maxUnsentBytes: 10 * mib });
  cuts = [];
});
afterEach(() => vi.useRealTimers());

/** Checks backlogs, given as bytes by name, and lets the time to the next check pass. */
function check(sizes: Readonly<Record<string, number>>, passMs = sweepMs): void {
  const backlogs = Object.entries(sizes).map(([name, bytes]): Backlog => {
    const holder = holders.get(name) ?? { name };
    holders.set(name, holder);
    return { holder, bytes, cut: () => cuts.push(name) };
  });
  clients.check(backlogs);
  vi.advanceTimersByTime(passMs);
}

test("an answer has its time, and is given up after it, again for as long as it is there", () => {
  check({ a: 10 }, takeMs - 1);
  check({ a: 10 }, 1);
  expect(cuts).toEqual([]);
  check({ a: 10 });
  check({ a: 10 });
  expect(cuts).toEqual(["a", "a"]);
});

test("a client that takes 1,000 bytes a second has all the time that it needs", () => {
  for (let bytes = 100_000; bytes > 0; bytes -= 5000) check({ a: bytes }, 5000);
  expect(cuts).toEqual([]);
});

test("a byte now and then gives no more time", () => {
  for (let bytes = 100; bytes > 68; bytes--) check({ a: bytes }, 1000);
  expect(cuts[0]).toBe("a");
});

test("each part that is taken of an answer that goes on begins its time again, however much waits behind it", () => {
  const holder = {};
  let takenAt = performance.now();
  const look = (passMs: number) => {
    clients.check([{ holder, bytes: 50_000, takenAt, cut: () => cuts.push("stream") }]);
    vi.advanceTimersByTime(passMs);
  };
  for (let parts = 0; parts < 10; parts++) {
    look(takeMs - 1);
    takenAt = performance.now();
  }
  look(takeMs);
  expect(cuts).toEqual([]);
  look(0);
  expect(cuts).toEqual(["stream"]);
});

test("the time begins when the first answer waits", () => {
  check({}, takeMs);
  check({ a: 10 }, takeMs / 2);
  check({ a: 20 }, takeMs / 2);
  check({ a: 30 });
  expect(cuts).toEqual(["a"]);
});

test("of more than there is room for, what has waited longest is given up first, until the rest fits", () => {
  check({ old: 4 * mib });
  check({ old: 4 * mib, small: mib, large: 2 * mib });
  check({ old: 4 * mib, small: mib, large: 2 * mib, new: 2 * mib });
  check({ old: 4 * mib, small: mib, large: 2 * mib, new: 6 * mib });
  expect(cuts).toEqual(["old"]);
  check({ small: mib, large: 6 * mib, new: 8 * mib });
  expect(cuts).toEqual(["old", "large"]);
});

test("what has only just begun to wait has twice the room, and not more", () => {
  check({ a: 19 * mib }, 0);
  check({ a: 19 * mib, b: 0.5 * mib }, 0);
  expect(cuts).toEqual([]);
  check({ a: 19 * mib, b: 0.5 * mib, c: mib }, 0);
  expect(cuts).toEqual(["a"]);
});

test("many small answers that wait count as what they cost, not as their bytes", () => {
  const many = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`small ${index}`, 20]));
  check(many);
  check(many);
  expect(cuts.length).toBeGreaterThan(500);
  expect(cuts.length).toBeLessThan(1000);
});
