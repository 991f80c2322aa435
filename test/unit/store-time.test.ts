import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StoreTime } from "../../src/domain/store-time.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const later = <T>(ms: number, result: T) =>
  new Promise<T>((resolve) => {
    setTimeout(() => resolve(result), ms);
  });

test("requests of a call share one second", async () => {
  const time = new StoreTime();
  const first = time.wait(later(700, "first"));
  await vi.advanceTimersByTimeAsync(700);
  await expect(first).resolves.toBe("first");

  const second = time.wait(later(700, "second"));
  const refused = expect(second).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
  await vi.advanceTimersByTimeAsync(300);
  await refused;
});

test("time between the requests does not count", async () => {
  const time = new StoreTime();
  const first = time.wait(later(400, "first"));
  await vi.advanceTimersByTimeAsync(400);
  await first;
  await vi.advanceTimersByTimeAsync(60_000);
  const second = time.wait(later(400, "second"));
  await vi.advanceTimersByTimeAsync(400);
  await expect(second).resolves.toBe("second");
  expect(vi.getTimerCount()).toBe(0);
});

test("a request that fails fails with its own error, late ones without a trace", async () => {
  const time = new StoreTime();
  await expect(time.wait(Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  const late = time.wait(later(2_000, "late").then(() => Promise.reject(new Error("too late"))));
  const refused = expect(late).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
  await vi.advanceTimersByTimeAsync(3_000);
  await refused;
  vi.useRealTimers();
  // An unhandled rejection would fail this run.
  await delay(1);
});
