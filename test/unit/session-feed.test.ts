import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ServiceError } from "../../src/domain/errors.ts";
import type { ChangesListener } from "../../src/domain/session-changes.ts";
import type { SessionRecord } from "../../src/domain/session-record-store.ts";
import type { SessionFilter } from "../../src/session-feed/session-event.ts";
import { SessionFeed } from "../../src/session-feed/session-feed.ts";
import type { WatchStep } from "../../src/session-feed/session-watcher.ts";
import { eventually } from "../support/eventually.ts";

/** The store: sessions by id, and how it answers. */
let stored: Map<string, SessionRecord>;
let isDown: boolean;
let walks: number;
/** Ids of sessions that were read one by one. */
let reads: string[];
let listener: ChangesListener | undefined;
let announceEnd: ((id: string) => void) | undefined;
let over: AbortController;
beforeEach(() => {
  [stored, isDown, walks, reads] = [new Map(), false, 0, []];
  over = new AbortController();
});
afterEach(() => over.abort());

const requireUp = () => {
  if (isDown) throw new ServiceError("downlease.store.unavailable");
};
function newFeed(maxSessions?: number): SessionFeed {
  return new SessionFeed({
    records: {
      async page({ cursor = "0", owner, maxSessions: length }) {
        requireUp();
        if (cursor === "0") walks++;
        const end = Number(cursor) + Math.min(length, 3);
        const all = [...stored.values()].filter((each) => owner === undefined || each.owner === owner);
        return { sessions: all.slice(Number(cursor), end), ...(end < all.length && { cursor: String(end) }) };
      },
      async find(ids) {
        requireUp();
        reads.push(...ids);
        return ids.map((id) => stored.get(id));
      },
    },
    changes: {
      watch(added) {
        listener = added;
        const stop = () => {
          listener = undefined;
        };
        return { stop };
      },
    },
    watchEnds(ended) {
      announceEnd = ended;
      const stop = () => {
        announceEnd = undefined;
      };
      return { isReliable: true, stop };
    },
    ...(maxSessions !== undefined && { maxSessions }),
  });
}

function store(id: string, members: Partial<SessionRecord> = {}): SessionRecord {
  const record: SessionRecord = {
    id,
    owner: "alice",
    libraryItemId: "item-1",
    contentVersion: "v1",
    state: "ACTIVE",
    progress: 0,
    expiresAt: Date.now() + 60_000,
    bytesSent: 0,
    ...stored.get(id),
    ...members,
  };
  stored.set(id, record);
  return record;
}

/** Watches and keeps what comes, as `kind id state progress`. */
function watch(feed: SessionFeed, filter: SessionFilter = {}, signal = over.signal, onSlow = () => {}) {
  const received: string[] = [];
  const steps: WatchStep[] = [];
  void (async () => {
    for await (const step of feed.watch(filter, signal, onSlow)) {
      steps.push(step);
      for (const { kind, record } of step.events) {
        received.push(`${kind} ${record.id} ${record.state} ${record.progress}`);
      }
    }
  })();
  const complete = () => eventually("the snapshot", () => steps.some((step) => step.isSnapshotComplete));
  const until = (...expected: string[]) =>
    eventually(`${expected} rather than ${received}`, () => received.join() === expected.join());
  return { received, steps, complete, until, clear: () => received.splice(0) };
}

describe("a watcher", () => {
  test("gets what exists, then what changes, each with what has happened", async () => {
    for (const id of ["a", "b", "c", "d", "e"]) store(id);
    const { until, complete, clear } = watch(newFeed());
    await complete();
    await until(...["a", "b", "c", "d", "e"].map((id) => `snapshot ${id} ACTIVE 0`));
    clear();
    store("f");
    store("b", { state: "CANCELED" });
    const { expiresAt } = store("c", { progress: 70, expiresAt: Date.now() + 90_000 });
    stored.delete("d");
    listener!.changed([
      { id: "f", kind: "created" },
      { id: "b", kind: "ended" },
      { id: "c", kind: "renewed", expiresAt, progress: 70 },
      { id: "d", kind: "deleted" },
    ]);
    await until("progressed c ACTIVE 70", "deleted d ACTIVE 0", "created f ACTIVE 0", "ended b CANCELED 0");
  });

  test("gets changes of one session in a moment as one event", async () => {
    store("a");
    const { until, complete, clear } = watch(newFeed());
    await complete();
    clear();
    const expiresAt = Date.now() + 90_000;
    for (const progress of [1, 2, 3]) listener!.changed([{ id: "a", kind: "renewed", expiresAt, progress }]);
    store("b", { progress: 5 });
    listener!.changed([{ id: "b", kind: "created" }]);
    listener!.changed([{ id: "b", kind: "renewed", expiresAt, progress: 5 }]);
    await until("progressed a ACTIVE 3", "created b ACTIVE 5");
  });

  test("never gets an older state after a newer one", async () => {
    store("a", { progress: 50 });
    const { received, complete, clear, until } = watch(newFeed());
    await complete();
    clear();
    const expiresAt = Date.now() + 90_000;
    listener!.changed([{ id: "a", kind: "renewed", expiresAt, progress: 20 }]);
    await until("progressed a ACTIVE 50");
    store("a", { state: "CANCELED", progress: 50 });
    announceEnd!("a");
    await until("progressed a ACTIVE 50", "ended a CANCELED 50");
    listener!.changed([{ id: "a", kind: "renewed", expiresAt: expiresAt + 1000, progress: 60 }]);
    await delay(150);
    expect(received).toEqual(["progressed a ACTIVE 50", "ended a CANCELED 50"]);
  });

  test("hears that a time is over only when the store says so", async () => {
    store("renewed elsewhere", { expiresAt: Date.now() + 200 });
    store("gone", { expiresAt: Date.now() + 200 });
    const { complete, clear, until } = watch(newFeed());
    await complete();
    clear();
    stored.delete("gone");
    store("renewed elsewhere", { expiresAt: Date.now() + 60_000 });
    await until("progressed renewed elsewhere ACTIVE 0", "expired gone ACTIVE 0");
  });

  test("gets sessions of its filter, and once more those that leave it", async () => {
    store("a");
    store("b", { owner: "bob" });
    store("c", { libraryItemId: "item-2" });
    store("d", { state: "ERROR" });
    const { complete, until } = watch(newFeed(), {
      owner: "alice",
      libraryItemId: "item-1",
      states: ["ACTIVE"],
    });
    await complete();
    for (const id of ["a", "b", "c", "d"]) store(id, { state: "CANCELED" });
    listener!.changed(["a", "b", "c", "d"].map((id) => ({ id, kind: "ended" })));
    await until("snapshot a ACTIVE 0", "ended a CANCELED 0");
  });

  test("gets one session, and what happens to it", async () => {
    for (const id of ["a", "b"]) store(id);
    const { complete, until } = watch(newFeed(), { id: "b" });
    await complete();
    for (const id of ["a", "b"]) store(id, { state: "CANCELED" });
    listener!.changed(["a", "b"].map((id) => ({ id, kind: "ended" })));
    await until("snapshot b ACTIVE 0", "ended b CANCELED 0");
  });

  test("that comes later gets the sessions as they are, without another walk", async () => {
    store("a");
    const feed = newFeed();
    const first = watch(feed);
    await first.complete();
    store("b");
    listener!.changed([
      { id: "b", kind: "created" },
      { id: "a", kind: "renewed", expiresAt: Date.now() + 90_000, progress: 9 },
    ]);
    await first.until("snapshot a ACTIVE 0", "progressed a ACTIVE 9", "created b ACTIVE 0");
    await watch(feed).until("snapshot a ACTIVE 9", "snapshot b ACTIVE 0");
    expect(walks).toBe(1);
  });

  test("is ended when it takes nothing while more comes than may wait, and nothing is kept for it", async () => {
    const many = Array.from({ length: 12_000 }, (_, n) => store(`session-${n}`));
    let isSlow = false;
    const slow = feedWithoutReader(() => {
      isSlow = true;
      slowOver.abort();
    });
    const slowOver = slow.over;
    const reading = watch(slow.feed);
    await reading.complete();
    let progress = 0;
    await eventually(
      "the end of the slow one",
      () => {
        progress++;
        listener!.changed(
          many.map(({ id, expiresAt }) => ({
            id,
            kind: "renewed",
            expiresAt: expiresAt + 200 * progress,
            progress,
          })),
        );
        return isSlow;
      },
      { everyMs: 120 },
    );
    expect(await slow.steps.next()).toEqual({ done: true, value: undefined });
    await eventually("the other one's events", () => reading.received.length >= 24_000);
  });
});

/** A watcher that has taken one step and takes no more. */
function feedWithoutReader(onSlow: () => void) {
  const slowOver = new AbortController();
  const feed = newFeed();
  const steps = feed.watch({}, slowOver.signal, onSlow);
  void steps.next();
  return { feed, steps, over: slowOver };
}

test("a watcher receives an empty step while nothing changes", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const steps = newFeed().watch({}, over.signal, () => {});
    expect((await steps.next()).value).toMatchObject({ isSnapshotComplete: true });
    const next = steps.next();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await next).toMatchObject({ value: { events: [], isSnapshotComplete: true } });
  } finally {
    vi.useRealTimers();
  }
});

describe("the feed", () => {
  test("finds what no announcement has reported when changes are missing", async () => {
    for (const id of ["a", "b", "c", "d"]) store(id);
    const { complete, clear, until } = watch(newFeed());
    await complete();
    clear();
    store("b", { progress: 10 });
    stored.delete("c");
    store("e");
    await delay(120);
    listener!.missed();
    await until("progressed b ACTIVE 10", "created e ACTIVE 0", "deleted c ACTIVE 0");
  });

  test("goes on where it was when the store answers again", async () => {
    for (const id of ["a", "b", "c", "d"]) store(id);
    isDown = true;
    const { received, complete, clear, until } = watch(newFeed());
    await delay(150);
    expect(received).toEqual([]);
    isDown = false;
    await complete();
    clear();
    isDown = true;
    store("a", { state: "CANCELED" });
    announceEnd!("a");
    await delay(250);
    isDown = false;
    await until("ended a CANCELED 0");
  });

  test("says so when there are more sessions than it keeps, and reports what begins and ends", async () => {
    for (const id of ["a", "b", "c", "d", "e", "f", "g"]) store(id);
    const { steps, complete, clear, until } = watch(newFeed(2));
    await complete();
    expect(steps.at(-1)).toMatchObject({ isSnapshotTruncated: true });
    await until("snapshot a ACTIVE 0", "snapshot b ACTIVE 0");
    clear();
    const { expiresAt } = store("b", { progress: 3, expiresAt: Date.now() + 90_000 });
    store("f", { state: "CANCELED" });
    store("h");
    listener!.changed([
      { id: "b", kind: "renewed", expiresAt, progress: 3 },
      { id: "f", kind: "ended" },
      { id: "h", kind: "created" },
    ]);
    await until("progressed b ACTIVE 3", "ended f CANCELED 0", "created h ACTIVE 0");
  });

  test("reads no session that it does not keep because its lease was renewed", async () => {
    for (const id of ["a", "b", "c", "d"]) store(id);
    const { complete, until, clear } = watch(newFeed(2));
    await complete();
    clear();
    for (const progress of [1, 2]) listener!.changed([{ id: "d", kind: "renewed", expiresAt: 1, progress }]);
    listener!.changed([
      { id: "d", kind: "touched" },
      { id: "c", kind: "ended" },
    ]);
    store("c", { state: "CANCELED" });
    await until("ended c CANCELED 0");
    expect(reads).toEqual(["c"]);
  });

  test.each<[string, SessionFilter]>([
    ["of one owner", { owner: "bob" }],
    ["of one owner and a state", { owner: "bob", states: ["ACTIVE"] }],
  ])("has all sessions %s for a watcher, however many others there are", async (_, filter) => {
    for (let n = 0; n < 20; n++) store(`other-${n}`);
    const feed = newFeed(4);
    const everybody = watch(feed);
    await everybody.complete();
    for (const id of ["a", "b", "c"]) store(id, { owner: "bob" });
    everybody.clear();
    const { steps, complete, clear, until } = watch(feed, filter);
    await complete();
    await until("snapshot a ACTIVE 0", "snapshot b ACTIVE 0", "snapshot c ACTIVE 0");
    expect(steps.at(-1)).toMatchObject({ isSnapshotTruncated: false });
    clear();
    const { expiresAt } = store("c", { progress: 5, expiresAt: Date.now() + 90_000 });
    store("d", { owner: "bob" });
    listener!.changed([
      { id: "c", kind: "renewed", expiresAt, progress: 5 },
      { id: "d", kind: "created" },
      { id: "other-19", kind: "renewed", expiresAt, progress: 5 },
    ]);
    await until("progressed c ACTIVE 5", "created d ACTIVE 0");
  });

  test("has one session for its watcher at once, without a walk over all", async () => {
    for (let n = 0; n < 20; n++) store(`other-${n}`);
    const { complete, clear, until, steps } = watch(newFeed(4), { id: "other-19" });
    await complete();
    await until("snapshot other-19 ACTIVE 0");
    expect(steps.at(-1)).toMatchObject({ isSnapshotTruncated: false });
    clear();
    const { expiresAt } = store("other-19", { progress: 5, expiresAt: Date.now() + 90_000 });
    store("other-20");
    listener!.changed([
      { id: "other-19", kind: "renewed", expiresAt, progress: 5 },
      { id: "other-3", kind: "renewed", expiresAt, progress: 5 },
      { id: "other-20", kind: "created" },
    ]);
    listener!.missed();
    await until("progressed other-19 ACTIVE 5");
    expect(walks).toBe(0);
  });

  test("reads a session again for its watcher when changes are missing", async () => {
    store("a");
    const { complete, clear, until } = watch(newFeed(), { id: "a" });
    await complete();
    clear();
    stored.delete("a");
    listener!.missed();
    await until("deleted a ACTIVE 0");
  });

  test("exists while somebody watches", async () => {
    store("a");
    const feed = newFeed();
    const other = new AbortController();
    await watch(feed).complete();
    await watch(feed, {}, other.signal).complete();
    other.abort();
    expect(listener).toBeDefined();
    over.abort();
    expect([listener, announceEnd]).toEqual([undefined, undefined]);
    over = new AbortController();
    await watch(feed).complete();
    expect(walks).toBe(2);
  });
});
