import { describe, expect, test } from "vitest";
import { SessionView } from "../../src/session-feed/session-view.ts";

const record = (id: string, expiresAt = 1_000_000) => ({
  id,
  owner: "alice",
  libraryItemId: "item-1",
  contentVersion: "v1",
  state: "ACTIVE" as const,
  progress: 0,
  expiresAt,
  bytesSent: 0,
});

function viewOf(...ids: readonly string[]): SessionView {
  const view = new SessionView(1000);
  for (const id of ids) view.set(record(id), 1);
  return view;
}

describe("a reader of the view", () => {
  test("gets each session once, also those that come while it reads", () => {
    const view = viewOf("a", "b");
    const first = view.after(undefined);
    const second = view.after(first);
    expect([first?.record.id, second?.record.id, view.after(second)]).toEqual(["a", "b", undefined]);
    view.set(record("c"), 1);
    view.set(record("a", 7), 1);
    const third = view.after(second);
    expect([third?.record.id, view.after(third)]).toEqual(["c", undefined]);
  });

  test.each([
    ["the one that it stands on", ["b"], "c"],
    ["the next one", ["c"], "d"],
    ["those around it", ["a", "b", "c"], "d"],
    ["all", ["d", "c", "b", "a"], undefined],
  ])("goes on behind its place when %s is deleted", (_, deleted, next) => {
    const view = viewOf("a", "b", "c", "d");
    const place = view.after(view.after(undefined));
    for (const id of deleted) view.delete(id);
    const following = view.after(place);
    expect(following?.record.id).toBe(next);
    view.set(record("e"), 1);
    let last = following ?? view.after(place);
    for (let more = view.after(last); more !== undefined; more = view.after(last)) last = more;
    expect(last?.record.id).toBe("e");
  });
});

test("sessions that are over are returned until they are deleted, and renewed ones at their new time", () => {
  const view = new SessionView(1000);
  view.set(record("a", 1_000), 1);
  view.set(record("b", 1_000), 1);
  view.set(record("c", 5_000), 1);
  expect(view.takeExpired(999)).toEqual([]);
  view.set(record("b", 3_000), 1);
  expect(view.takeExpired(1_250)).toEqual(["a"]);
  expect(view.takeExpired(1_500)).toEqual([]);
  expect(view.takeExpired(2_300)).toEqual(["a"]);
  view.delete("a");
  expect(view.takeExpired(3_300)).toEqual(["b"]);
  view.delete("b");
  expect(view.takeExpired(100_000)).toEqual(["c"]);
  view.delete("c");
  expect(view.takeExpired(200_000)).toEqual([]);
  view.set(record("d", 250_000), 1);
  expect(view.takeExpired(250_000)).toEqual(["d"]);
});
