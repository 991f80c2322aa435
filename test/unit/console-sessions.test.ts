import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DownloadSessionModel_State as State } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { SessionInfoSchema } from "../../gen/downlease/admin/v1/admin_pb.ts";
import { Arrangement } from "../../src/console/sessions/arrangement.ts";
import {
  arrange,
  type ListView,
  readListView,
  secondsLeft,
  sortKeys,
  wholeList,
  writeListView,
} from "../../src/console/sessions/session-view.ts";
import { nextSession, type WatchedSession } from "../../src/console/sessions/watched-session.ts";

const states = [State.ACTIVE, State.CANCELED, State.ERROR];

interface Given {
  readonly id: string;
  readonly owner?: string;
  readonly state?: State;
  readonly progress?: number;
  readonly bytesSent?: number;
  readonly bytesTotal?: number;
  readonly createdMs?: number;
}

function session(given: Given, before?: WatchedSession, now = 0): WatchedSession {
  const { progress = 0, bytesSent = 0, bytesTotal = 0, createdMs = 0, state = State.ACTIVE, ...rest } = given;
  const [sent, total] = [BigInt(bytesSent), BigInt(bytesTotal)];
  const createdTime = timestampFromMs(createdMs);
  const numbers = { progress: BigInt(progress), bytesSent: sent, bytesTotal: total };
  return nextSession(
    create(SessionInfoSchema, { ...rest, ...numbers, state, createdTime }),
    undefined,
    before,
    now,
  );
}

const views = fc.record({
  search: fc.constantFrom("", "a", "B", "zzz"),
  state: fc.constantFrom(undefined, ...states),
  sort: fc.constantFrom(...sortKeys),
  isDescending: fc.boolean(),
});

describe("the view of a list", () => {
  test("is in the address, whatever it is", () => {
    fc.assert(
      fc.property(views, (view) => {
        expect(readListView(new URLSearchParams(writeListView(view)))).toEqual(view);
      }),
    );
  });

  test("of a plain list takes nothing of it, and what an address has wrong is left out", () => {
    expect(writeListView(wholeList)).toEqual({});
    expect(readListView(new URLSearchParams("state=gone&sort=-nothing"))).toEqual(wholeList);
  });
});

describe("rows", () => {
  test("are those that match, equal ones in the order of their ids", () => {
    const all = [
      session({ id: "3", owner: "bob" }),
      session({ id: "1", owner: "Alice" }),
      session({ id: "2", owner: "bob", state: State.ERROR }),
    ];
    const ids = (change: Partial<ListView>) =>
      arrange(all, { ...wholeList, ...change }).map(({ info }) => info.id);
    expect(ids({})).toEqual(["1", "2", "3"]);
    expect(ids({ sort: "owner", isDescending: true })).toEqual(["2", "3", "1"]);
    expect(ids({ search: "ALI" })).toEqual(["1"]);
    expect(ids({ state: State.ERROR })).toEqual(["2"]);
  });

  test("that follow changes are those that a sort of all gives", () => {
    const sessions = fc.record({
      id: fc.constantFrom(..."abcdefghijklmnop"),
      owner: fc.constantFrom("alice", "bob", "carol"),
      state: fc.constantFrom(...states),
      progress: fc.nat(3),
      bytesSent: fc.nat(2),
      createdMs: fc.nat(2),
    });
    const step = fc.array(fc.record({ given: sessions, isGone: fc.boolean() }), { maxLength: 3 });
    fc.assert(
      fc.property(views, fc.array(sessions), fc.array(step, { maxLength: 8 }), (view, first, steps) => {
        const all = new Map(first.map((given) => [given.id, session(given)]));
        const arrangement = new Arrangement(view, all);
        for (const changed of steps) {
          const changes = new Map<string, WatchedSession | undefined>();
          for (const { given, isGone } of changed) {
            const before = all.get(given.id);
            if (!changes.has(given.id)) changes.set(given.id, before);
            if (isGone) all.delete(given.id);
            else all.set(given.id, session(given, before, 1_000));
          }
          arrangement.update(all, changes);
          expect(arrangement.rows).toEqual(arrange(all.values(), view));
        }
      }),
    );
  });
});

test("the rate is that of the last report, and nothing when none has moved bytes for a while", () => {
  const first = session({ id: "a", bytesSent: 1_000, bytesTotal: 9_000 }, undefined, 0);
  expect([first.rate, secondsLeft(first)]).toEqual([0, undefined]);
  const second = session({ id: "a", bytesSent: 5_000, bytesTotal: 9_000 }, first, 2_000);
  expect([second.rate, secondsLeft(second)]).toEqual([2_000, 2]);
  const renewed = session({ id: "a", bytesSent: 5_000, bytesTotal: 9_000 }, second, 3_000);
  expect(renewed.rate).toBe(2_000);
  expect(session({ id: "a", bytesSent: 5_000, bytesTotal: 9_000 }, renewed, 9_000).rate).toBe(0);
});
