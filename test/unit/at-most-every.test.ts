import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { atMostEvery } from "../../src/telemetry/at-most-every.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a computation is shared while it runs, however long, and for the interval after it", async () => {
  let count = 0;
  const get = atMostEvery(1000, () => new Promise<number>((resolve) => setTimeout(resolve, 5000, ++count)));
  const first = get();
  await vi.advanceTimersByTimeAsync(4999);
  const second = get();
  await vi.advanceTimersByTimeAsync(1);
  expect(await Promise.all([first, second, get()])).toEqual([1, 1, 1]);
  await vi.advanceTimersByTimeAsync(999);
  expect(await get()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  const next = get();
  await vi.advanceTimersByTimeAsync(5000);
  expect([await next, count]).toEqual([2, 2]);
});

test("a failure is shared as well, and the next computation may succeed", async () => {
  let count = 0;
  const get = atMostEvery(1000, async () => {
    if (++count === 1) throw new Error("no");
    return count;
  });
  await expect(get()).rejects.toThrow("no");
  await vi.advanceTimersByTimeAsync(999);
  await expect(get()).rejects.toThrow("no");
  await vi.advanceTimersByTimeAsync(1);
  expect(await get()).toBe(2);
});
