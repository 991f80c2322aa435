import { expect, test } from "vitest";
import { RecentLooks } from "../../src/content/recent-looks.ts";
import { ServiceError } from "../../src/domain/errors.ts";

const hour = 3_600_000;

/** Looks that count for so long, at a storage whose versions are numbers. */
function looks(freshMs: number) {
  const recent = new RecentLooks<number>({ freshMs, maxSize: 10, sizeOf: () => 1 });
  const storage = { version: 1 as number | undefined, error: undefined as Error | undefined, asked: 0 };
  const look = async () => {
    storage.asked++;
    if (storage.error !== undefined) throw storage.error;
    return storage.version;
  };
  return { recent, storage, get: (suits?: (value: number) => boolean) => recent.get("item", look, suits) };
}

test("a result counts for a while, for all callers", async () => {
  const { storage, get } = looks(hour);
  expect(await Promise.all([get(), get(), get()])).toEqual([1, 1, 1]);
  storage.version = 2;
  expect([await get(), storage.asked]).toEqual([1, 1]);
});

test("without such a time there is a look for each call", async () => {
  const { storage, get } = looks(0);
  await get();
  storage.version = 2;
  expect([await get(), storage.asked]).toEqual([2, 2]);
});

test("a result that does not suit, or is forgotten, does not count", async () => {
  const { recent, storage, get } = looks(hour);
  await get();
  storage.version = 2;
  expect(await get((value) => value === 1)).toBe(1);
  expect(await get((value) => value === 2)).toBe(2);
  storage.version = 3;
  recent.forget("item");
  expect([await get(), storage.asked]).toEqual([3, 3]);
});

test("that there is nothing counts for one call", async () => {
  const { storage, get } = looks(hour);
  storage.version = undefined;
  expect(await get()).toBeUndefined();
  storage.version = 1;
  expect(await get()).toBe(1);
});

test("while the storage is unavailable an old result is given, and the storage is not asked by each call", async () => {
  const { recent, storage, get } = looks(hour);
  await get();
  storage.error = new ServiceError("downlease.content.unavailable");
  // As if the time were over.
  const never = () => false;
  expect([await get(never), await get(), storage.asked]).toEqual([1, 1, 2]);
  recent.forget("item");
  await expect(get()).rejects.toBe(storage.error);
  storage.error = undefined;
  await get();
  storage.error = new Error("not an outage");
  await expect(get(never)).rejects.toBe(storage.error);
});
