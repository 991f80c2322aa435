import { expect, test } from "vitest";
import { Buffers } from "../../src/downloads/buffers.ts";

const take = (buffers: Buffers, count: number) => Array.from({ length: count }, () => buffers.take());
const bytesOf = (list: readonly Buffer[]) => list.reduce((sum, { byteLength }) => sum + byteLength, 0);

test("many downloads have smaller buffers than few", () => {
  expect(bytesOf(take(new Buffers(), 1))).toBe(2 ** 19);
  expect(bytesOf(take(new Buffers(), 64))).toBeLessThanOrEqual(20 * 2 ** 20);
  expect(bytesOf(take(new Buffers(), 1000))).toBeLessThanOrEqual(90 * 2 ** 20);
});

test("a returned buffer is used again, by one download at a time", () => {
  const buffers = new Buffers();
  const first = buffers.take();
  const second = buffers.take();
  expect(second).not.toBe(first);
  buffers.giveBack(first);
  expect(buffers.take()).toBe(first);
  expect(buffers.take()).not.toBe(first);
});

test("an abandoned buffer is not used again, and its place is free", () => {
  const buffers = new Buffers();
  const taken = new Set(take(buffers, 200));
  for (const _ of taken) buffers.abandon();
  const next = buffers.take();
  expect(taken.has(next)).toBe(false);
  expect(next.byteLength).toBe(2 ** 19);
});

test("not all that a burst leaves behind is kept", () => {
  const buffers = new Buffers();
  const taken = take(buffers, 1000);
  for (const buffer of taken) buffers.giveBack(buffer);
  const kept = new Set(taken);
  expect(bytesOf(take(buffers, 1000).filter((buffer) => kept.has(buffer)))).toBeLessThanOrEqual(20 * 2 ** 20);
});
