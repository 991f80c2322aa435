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
  const inUse = new Set(take(buffers, 200));
  for (const _ of inUse) buffers.abandon();
  const next = buffers.take();
  expect(inUse.has(next)).toBe(false);
  expect(next.byteLength).toBe(2 ** 19);
});

test("only some of the buffers of a burst are kept", () => {
  const buffers = new Buffers();
  const burst = take(buffers, 1000);
  for (const buffer of burst) buffers.giveBack(buffer);
  const returned = new Set(burst);
  expect(bytesOf(take(buffers, 1000).filter((buffer) => returned.has(buffer)))).toBeLessThanOrEqual(
    20 * 2 ** 20,
  );
});
