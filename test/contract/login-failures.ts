import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

const longMs = 60_000;

/** Failures to log in, as a login store counts them. */
export function failuresContract(backend: TestBackend): void {
  it("counts failures under a key, for every instance, in a window that begins with the first", async () => {
    await using stage = await setStage("logins", backend);
    const { store, second } = stage;
    const [key, other] = [randomUUID(), randomUUID()];
    let forgottenInMs = longMs;
    for (const [count, instance] of [store, second, second, store].entries()) {
      // Another length counts for the next window only.
      const failures = await instance.addFailure(key, longMs + count * 1_000);
      expect(failures.count).toBe(count + 1);
      expect(failures.forgottenInMs).toBeGreaterThan(0);
      expect(failures.forgottenInMs).toBeLessThanOrEqual(forgottenInMs);
      ({ forgottenInMs } = failures);
    }
    expect(await store.addFailure(other, longMs)).toMatchObject({ count: 1 });
  });

  it("starts a new count when the window is over", async () => {
    await using stage = await setStage("logins", backend);
    const { store, now } = stage;
    const key = randomUUID();
    await store.addFailure(key, 150);
    const second = await store.addFailure(key, 150);
    const addedAt = await now();
    await eventually("the end of the window", async () => (await now()) > addedAt + second.forgottenInMs);
    expect((await store.addFailure(key, longMs)).count).toBe(1);
  });

  it("takes failures back one by one, and forgets the window with the last", async () => {
    await using stage = await setStage("logins", backend);
    const { store, second } = stage;
    const key = randomUUID();
    await store.addFailure(key, 2 * longMs);
    await store.addFailure(key, longMs);
    await second.removeFailure(key);
    const again = await store.addFailure(key, longMs);
    expect(again.count).toBe(2);
    expect(again.forgottenInMs, "the window goes on").toBeGreaterThan(longMs);
    await store.removeFailure(key);
    await store.removeFailure(key);
    const next = await store.addFailure(key, longMs);
    expect(next.count).toBe(1);
    expect(next.forgottenInMs).toBeLessThanOrEqual(longMs);
  });

  it("takes nothing back where nothing was counted", async () => {
    await using stage = await setStage("logins", backend);
    const key = randomUUID();
    await stage.store.removeFailure(key);
    await stage.store.removeFailure(key);
    expect(await stage.store.addFailure(key, longMs)).toMatchObject({ count: 1 });
  });

  it("loses no failure of many at once", async () => {
    await using stage = await setStage("logins", backend);
    const { store, second } = stage;
    const key = randomUUID();
    const counts = await Promise.all(
      Array.from({ length: 100 }, (_, index) => (index % 2 ? store : second).addFailure(key, longMs)),
    );
    expect(counts.map(({ count }) => count).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
  });

  it("takes any text for a key", async () => {
    await using stage = await setStage("logins", backend);
    const { store } = stage;
    const mark = randomUUID();
    const keys = ["", "a", "A", "a ", "a\0", "a\n", "{a}", "é", "e\u0301", "x".repeat(2 ** 20), "__proto__"];
    for (const key of keys) {
      expect(await store.addFailure(`${mark}${key}`, longMs), key.slice(0, 20)).toMatchObject({ count: 1 });
    }
  });
}
