import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { BandwidthPortion, BandwidthRequest } from "../../src/domain/bandwidth.ts";
import { portionMs } from "../../src/domain/bandwidth.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { Bandwidth, type BandwidthTurns } from "../../src/downloads/bandwidth.ts";
import { eventually } from "../support/eventually.ts";

let rate: number;
let requests: BandwidthRequest[];
let answer: (request: BandwidthRequest) => BandwidthPortion | Promise<BandwidthPortion>;
let bandwidth: Bandwidth;
let open: BandwidthTurns[];

beforeEach(() => {
  rate = 1_000_000;
  requests = [];
  answer = () => ({ bytes: 100_000, startsInMs: 0, share: 0.5 });
  const store = {
    lease: async (request: BandwidthRequest) => {
      requests.push(request);
      return answer(request);
    },
  };
  bandwidth = new Bandwidth({ store, bytesPerSecond: () => rate });
  open = [];
});
afterEach(() => {
  for (const turns of open) turns.end();
});

function begin(): BandwidthTurns {
  const turns = bandwidth.begin();
  open.push(turns);
  return turns;
}

/** A turn that is still to come. */
const never = () => new Promise<BandwidthPortion>(() => {});

async function isOpen(turn: number | Promise<number>): Promise<boolean> {
  return (await Promise.race([turn, new Promise((resolve) => setTimeout(resolve, 30, "open"))])) === "open";
}

test("without a limit a turn is no promise, and the store is not asked", () => {
  rate = 0;
  expect(begin().take(300_000)).toBe(300_000);
  expect(requests).toEqual([]);
});

test("a process asks for as many downloads as it sends, and once for all that wait", async () => {
  const turns = [begin(), begin(), begin()];
  expect(await Promise.all(turns.map((each) => each.take(5_000)))).toEqual([5_000, 5_000, 5_000]);
  expect(requests).toEqual([{ worker: expect.any(String), downloads: 3, bytesPerSecond: rate }]);
});

test("downloads take turns of equal size, in the order in which they wait", async () => {
  // A fifth of a second of half of the limit, for two.
  const turn = (rate * 0.5 * 0.2) / 2;
  const [one, two] = [begin(), begin()];
  await one.take(1);
  const order: string[] = [];
  const take = async (name: string, turns: BandwidthTurns, wanted: number) => {
    const bytes = await turns.take(wanted);
    order.push(`${name} ${bytes}`);
  };
  answer = () => ({ bytes: turn, startsInMs: 0, share: 0.5 });
  await Promise.all([
    take("one", one, 200_000).then(() => take("one", one, 200_000)),
    take("two", two, 200_000),
  ]);
  expect(order).toEqual([`one ${turn}`, `two ${turn}`, `one ${turn}`]);
});

test("a download that ends holds up nobody", async () => {
  answer = never;
  const [gone, other] = [begin(), begin()];
  const first = gone.take(1_000);
  const second = other.take(1_000);
  expect(await isOpen(second)).toBe(true);
  gone.end();
  expect(await isOpen(first)).toBe(true);
  open.shift();
});

describe("a limit that changes", () => {
  test("to none frees those that wait", async () => {
    answer = () => ({ bytes: 1, startsInMs: 60_000, share: 1 });
    const turn = begin().take(1_000);
    expect(await isOpen(turn)).toBe(true);
    rate = 0;
    expect(await turn).toBe(1_000);
  });

  test("makes what was given out before worth nothing", async () => {
    answer = () => ({ bytes: 50_000_000, startsInMs: 0, share: 1 });
    const turns = begin();
    await turns.take(1_000);
    rate = 1_000;
    answer = never;
    expect(await isOpen(turns.take(1_000))).toBe(true);
    expect(requests.at(-1)?.bytesPerSecond).toBe(1_000);
  });
});

test("while the store does not answer, a process goes on with the part of the limit that it had", async () => {
  const turns = begin();
  await turns.take(1_000);
  answer = () => Promise.reject(new ServiceError("downlease.store.unavailable"));
  const from = performance.now();
  let bytes = 0;
  while (bytes < 300_000) bytes += await turns.take(100_000);
  // Half of the limit; what was left of the first portion, and one portion ahead, come on top.
  const elapsedMs = performance.now() - from;
  expect(bytes).toBeLessThanOrEqual(100_000 + (rate * 0.5 * (elapsedMs + portionMs)) / 1000);
  await eventually("the store to be asked again", () => requests.length > 2);
});
