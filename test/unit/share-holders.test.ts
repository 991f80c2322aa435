import { expect, test } from "vitest";
import { ShareHolders } from "../../src/calls/share-holders.ts";

function enter(holders: ShareHolders, key: string, times: number): number {
  let admitted = 0;
  for (let time = 0; time < times; time++) if (holders.enter(key)) admitted++;
  return admitted;
}

test("holders with a key have shares, and a fifth is left for newcomers", () => {
  const holders = new ShareHolders(10);
  expect(["a", "b", "a", "c", "d"].map((key) => enter(holders, key, 20))).toEqual([8, 1, 0, 1, 0]);
});

test("one holder alone may have no more than the maximum share", () => {
  const holders = new ShareHolders(10, 0.5);
  expect([enter(holders, "a", 20), enter(holders, "b", 20)]).toEqual([5, 3]);
  expect(["a", "b", "c"].map((key) => holders.hasItsShare(key))).toEqual([true, false, false]);
});

test("a holder is forgotten with the last thing that it has in flight", () => {
  const holders = new ShareHolders(100);
  for (let index = 0; index < 50; index++) holders.enter(`holder ${index}`, 2);
  expect(holders.size).toBe(50);
  for (let index = 0; index < 50; index++) holders.leave(`holder ${index}`, index === 0 ? 1 : 2);
  expect(holders.size).toBe(1);
  holders.leave("holder 0");
  holders.leave("never seen");
  expect(holders.size).toBe(0);
  expect(enter(holders, "a", 200)).toBe(80);
});
