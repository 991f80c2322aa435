import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Backend } from "../../src/domain/backend.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { formatChanges, parseChanges, type SessionChange } from "../../src/domain/session-changes.ts";
import { ChangeRecorder } from "../../src/session-feed/change-recorder.ts";
import { recordedBackend } from "../../src/session-feed/recorded-backend.ts";
import { callerNamed } from "../support/callers.ts";

let published: (readonly SessionChange[] | "missed")[];
let isDown: boolean;
const changes = {
  isWatched: true,
  follow() {},
  async publish(some: readonly SessionChange[] | "missed") {
    if (isDown) throw new ServiceError("downlease.store.unavailable");
    published.push(some);
  },
  watch: () => ({ stop() {} }),
};
beforeEach(() => {
  vi.useFakeTimers();
  [published, isDown, changes.isWatched] = [[], false, true];
});
afterEach(() => vi.useRealTimers());

const renewed = (id: string, progress = 1) => ({ id, kind: "renewed", expiresAt: 5, progress }) as const;

describe("the recorder", () => {
  test("publishes the changes of a moment together, one for each session", async () => {
    const recorder = new ChangeRecorder(changes);
    recorder.record({ id: "a", kind: "created" });
    for (const progress of [1, 2]) recorder.record(renewed("a", progress));
    for (const progress of [1, 2]) recorder.record(renewed("b", progress));
    recorder.record(renewed("c"));
    recorder.record({ id: "c", kind: "touched" });
    recorder.record(renewed("c"));
    recorder.record({ id: "d", kind: "ended" });
    recorder.record({ id: "d", kind: "deleted" });
    await vi.advanceTimersByTimeAsync(200);
    expect(published).toEqual([]);
    await vi.advanceTimersByTimeAsync(100);
    expect(published).toEqual([
      [
        { id: "a", kind: "created" },
        renewed("b", 2),
        { id: "c", kind: "touched" },
        { id: "d", kind: "deleted" },
      ],
    ]);
  });

  test("publishes that changes are missing once the store answers again, or there were too many", async () => {
    const recorder = new ChangeRecorder(changes);
    isDown = true;
    recorder.record(renewed("a"));
    await vi.advanceTimersByTimeAsync(1_000);
    isDown = false;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(published).toEqual(["missed"]);
    published = [];
    for (let n = 0; n < 50_001; n++) recorder.record(renewed(`session-${n}`));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(published.at(-1)).toBe("missed");
    expect(published.slice(0, -1).flat()).toHaveLength(50_000);
  });

  test("publishes the last changes when it closes", async () => {
    const recorder = new ChangeRecorder(changes);
    recorder.record(renewed("a"));
    await recorder.close();
    recorder.record(renewed("b"));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(published).toEqual([[renewed("a")]]);
  });
});

describe("the recorded stores", () => {
  const call = Promise.resolve({ outcome: "renewed", expiresAt: 5, progress: 1 } as const);
  const alice = callerNamed("alice");
  const store = (answer: unknown) =>
    recordedBackend({
      sessions: { keepAlive: () => answer, create: () => answer, finish: () => answer },
      sessionChanges: changes,
    } as unknown as Backend).sessions;

  test("add nothing to a keep-alive while nobody watches", async () => {
    changes.isWatched = false;
    expect(store(call).keepAlive("a", alice)).toBe(call);
    changes.isWatched = true;
    await store(call).keepAlive("a", alice);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(published).toEqual([[renewed("a")]]);
  });

  test("record that a call whose outcome is unknown may have changed something, and no refusal", async () => {
    const failure = Promise.reject(new ServiceError("downlease.store.unavailable"));
    const spec = { id: "a", owner: "alice", libraryItemId: "item", contentVersion: "1" };
    await expect(store(failure).create(spec)).rejects.toThrow(ServiceError);
    await store(Promise.resolve({ outcome: "not_found" })).finish("b", alice, "CANCELED");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(published).toEqual([[{ id: "a", kind: "touched" }]]);
  });
});

describe("changes as text", () => {
  test("are read as they were written", () => {
    const some: SessionChange[] = [renewed('odd "id" ,', 3), { id: "é", kind: "deleted" }];
    expect(parseChanges(formatChanges(some))).toEqual(some);
  });

  test.each([
    "",
    "no",
    "{}",
    "[1]",
    '[["renewed","a"]]',
    '[["other","a"]]',
    '[["created",5]]',
    '["created"]',
  ])("of another form are none: %s", (text) => {
    expect(parseChanges(text)).toBeUndefined();
  });
});
