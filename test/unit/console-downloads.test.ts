import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  GetResponseSchema,
  KeepAliveResponseSchema,
  DownloadSessionModel_State as State,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { keepLease } from "../../src/console/libraries/lease.ts";
import { whyEnded } from "../../src/console/libraries/why-ended.ts";
import { noteServiceTime, serviceNow } from "../../src/console/shell/service-clock.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2031, 0, 1) });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a lease", () => {
  /** Keeps a lease of 12 seconds; heartbeats fail with `failure` while there is one. */
  function keep() {
    const state = { beats: [] as bigint[], lost: 0, failure: undefined as Code | undefined, percent: 7 };
    const stop = keepLease({
      sessions: {
        async keepAlive({ progress }) {
          state.beats.push(progress!);
          if (state.failure !== undefined) throw new ConnectError("refused", state.failure);
          return create(KeepAliveResponseSchema, { expirationTime: timestampFromMs(Date.now() + 12_000) });
        },
      },
      id: "session",
      progress: () => state.percent,
      onLost: () => {
        state.lost++;
      },
    });
    return { state, stop };
  }

  test("is renewed at every third of it, with the progress, until it is stopped", async () => {
    const { state, stop } = keep();
    await vi.advanceTimersByTimeAsync(1_000);
    state.percent = 50;
    await vi.advanceTimersByTimeAsync(8_000);
    expect(state.beats).toEqual([7n, 50n, 50n]);
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(state.beats.length).toBe(3);
  });

  test.each([Code.Unavailable, Code.ResourceExhausted, Code.Internal])(
    "is kept although heartbeats fail for a reason that passes: %s",
    async (failure) => {
      const { state, stop } = keep();
      state.failure = failure;
      await vi.advanceTimersByTimeAsync(5_500);
      expect([state.beats.length, state.lost]).toEqual([5, 0]);
      state.failure = undefined;
      await vi.advanceTimersByTimeAsync(1_000);
      expect(state.beats.length).toBe(6);
      stop();
    },
  );

  test.each([Code.NotFound, Code.FailedPrecondition, Code.Unauthenticated])(
    "is lost when the session is over or belongs to nobody any more: %s",
    async (failure) => {
      const { state } = keep();
      state.failure = failure;
      await vi.advanceTimersByTimeAsync(60_000);
      expect([state.beats.length, state.lost]).toEqual([1, 1]);
    },
  );
});

test.each([
  [{ state: State.CANCELED }, /canceled/],
  [{ state: State.ERROR, errorMessage: { defaultMessage: "No disks." } }, /No disks\./],
  [{ state: State.ACTIVE }, /item has changed/],
  [undefined, /expired or was deleted/],
])("a download says why its session has ended: %j", async (downloadSession, text) => {
  const get = async () => {
    if (downloadSession === undefined) throw new ConnectError("gone", Code.NotFound);
    return create(GetResponseSchema, { downloadSession });
  };
  expect(await whyEnded({ get }, "session")).toMatch(text);
});

describe("the clock of the service", () => {
  const header = (ms: number) => new Date(ms).toUTCString();

  test("is that of this machine while the header leaves that possible", () => {
    const now = Date.now();
    noteServiceTime(header(now - 900), now - 50, now);
    noteServiceTime(null, now, now);
    expect(serviceNow()).toBe(now);
  });

  test("is followed when it differs, and does not jump with each answer", () => {
    const now = Date.now();
    const answer = (at: number) => noteServiceTime(header(at + 90_300), at - 20, at);
    answer(now);
    const first = serviceNow() - now;
    expect(Math.abs(first - 90_000)).toBeLessThan(1_500);
    for (let at = now + 100; at < now + 3_000; at += 100) answer(at);
    expect(Math.abs(serviceNow() - now - 90_300)).toBeLessThan(300);
    const settled = serviceNow();
    answer(now + 5_000);
    expect(serviceNow()).toBe(settled);
    noteServiceTime(header(now), now, now);
  });
});
