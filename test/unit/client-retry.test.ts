import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import {
  backOffMs,
  isNetworkError,
  isRetryable,
  pause,
  RetryLimit,
  retryAfterHeaderMs,
  retryAfterMs,
} from "../../src/client/retry.ts";

function withRetryInfo(code: Code, seconds: bigint, nanos = 0): ConnectError {
  const value = create(RetryInfoSchema, { retryDelay: { seconds, nanos } });
  return new ConnectError("later", code, undefined, [{ desc: RetryInfoSchema, value }]);
}

function withCause(code: string): ConnectError {
  const error = new ConnectError("broken", Code.FailedPrecondition);
  error.cause = Object.assign(new Error(code), { code });
  return error;
}

describe("a retryable failure", () => {
  test.each([
    Code.Unavailable,
    Code.DeadlineExceeded,
    Code.Aborted,
    Code.Unknown,
    Code.Internal,
    Code.Canceled,
  ])("has the code %i", (code) => {
    expect(isRetryable(new ConnectError("no", code))).toBe(true);
  });

  test("is an error of the network with any code", () => {
    expect(isRetryable(withCause("EPIPE"))).toBe(true);
    expect(isRetryable(withCause("EHOSTUNREACH"))).toBe(true);
    expect(isRetryable(withCause("EACCES"))).toBe(false);
  });

  test("is a refusal with a delay for the next attempt", () => {
    expect(isRetryable(withRetryInfo(Code.ResourceExhausted, 3n))).toBe(true);
    expect(isRetryable(new ConnectError("too large", Code.ResourceExhausted))).toBe(false);
    const reason = create(ErrorInfoSchema, { reason: "UNABLE_TO_ALLOCATE_RESOURCE" });
    const details = [{ desc: ErrorInfoSchema, value: reason }];
    expect(isRetryable(new ConnectError("full", Code.ResourceExhausted, undefined, details))).toBe(false);
  });

  test.each([
    Code.NotFound,
    Code.FailedPrecondition,
    Code.InvalidArgument,
    Code.Unauthenticated,
    Code.PermissionDenied,
    Code.Unimplemented,
  ])("does not have the code %i", (code) => {
    expect(isRetryable(new ConnectError("no", code))).toBe(false);
  });
});

test("an error of the network is recognized below others, and a circle of causes ends", () => {
  const inner = Object.assign(new Error("reset"), { code: "ECONNRESET" });
  expect(isNetworkError(new Error("outer", { cause: new Error("middle", { cause: inner }) }))).toBe(true);
  const circle = new Error("circle");
  circle.cause = circle;
  expect(isNetworkError(circle)).toBe(false);
  expect(isNetworkError("ECONNRESET")).toBe(false);
});

test("the delay that a server asks for is read to the millisecond", () => {
  expect(retryAfterMs(withRetryInfo(Code.Unavailable, 1n, 500_000_000))).toBe(1500);
  expect(retryAfterMs(withRetryInfo(Code.Unavailable, -5n))).toBe(0);
  expect(retryAfterMs(new ConnectError("no"))).toBeUndefined();
});

test("a delay that a server asks for is a minute at most", () => {
  expect(retryAfterMs(withRetryInfo(Code.Unavailable, 2n ** 62n))).toBe(60_000);
  const noon = new Date("2030-01-01T12:00:00Z");
  vi.setSystemTime(noon);
  try {
    const headers = ["3", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", noon.toUTCString(), "x"];
    expect(headers.map(retryAfterHeaderMs)).toEqual([3_000, 60_000, 60_000, 0, undefined]);
    expect(retryAfterHeaderMs(undefined)).toBeUndefined();
  } finally {
    vi.useRealTimers();
  }
});

describe("the pause between attempts", () => {
  const backOff = { firstMs: 100, maxMs: 1000 };

  test("doubles up to its maximum", () => {
    const pauses = [1, 2, 3, 4, 5, 6, 2000].map((failures) => backOffMs(failures, backOff, () => 1));
    expect(pauses).toEqual([100, 200, 400, 800, 1000, 1000, 1000]);
  });

  test("is half random", () => {
    expect(backOffMs(3, backOff, () => 0)).toBe(200);
    expect(backOffMs(3, backOff, () => 0.5)).toBe(300);
  });
});

describe("the limit of retries", () => {
  test("counts from the first failure, not from the progress before it", () => {
    let now = 0;
    const limit = new RetryLimit(1000, () => now);
    now = 5000;
    expect(limit.recordFailure()).toBe(true);
    now = 5999;
    expect(limit.recordFailure()).toBe(true);
    expect(limit.recordFailure()).toBe(true);
    now = 6000;
    expect(limit.recordFailure()).toBe(false);
  });

  test("starts over after progress", () => {
    let now = 0;
    const limit = new RetryLimit(1000, () => now);
    for (let failures = 0; failures < 5; failures++) limit.recordFailure();
    limit.reset();
    now = 2000;
    expect(limit.recordFailure()).toBe(true);
    now = 2999;
    for (let failures = 0; failures < 5; failures++) expect(limit.recordFailure()).toBe(true);
  });

  test("allows two failures with any time between them: the process may have been suspended", () => {
    let now = 0;
    const limit = new RetryLimit(1000, () => now);
    expect(limit.recordFailure()).toBe(true);
    now = 1_000_000;
    expect(limit.recordFailure()).toBe(true);
    expect(limit.recordFailure()).toBe(false);
  });
});

describe("a pause", () => {
  test("ends with the reason of a signal that is aborted", async () => {
    const reason = new Error("enough");
    await expect(pause(60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
    const stop = new AbortController();
    const paused = pause(60_000, stop.signal);
    stop.abort(reason);
    await expect(paused).rejects.toBe(reason);
  });

  test("that is longer than a timer of Node.js can be does not end at once", async () => {
    const stop = new AbortController();
    let hasEnded = false;
    const paused = pause(2 ** 40, stop.signal).finally(() => {
      hasEnded = true;
    });
    await pause(20);
    expect(hasEnded).toBe(false);
    stop.abort();
    await expect(paused).rejects.toBe(stop.signal.reason);
  });

  test("ends by itself", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let hasEnded = false;
      const paused = pause(1_000).then(() => {
        hasEnded = true;
      });
      await vi.advanceTimersByTimeAsync(999);
      expect(hasEnded).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      await paused;
    } finally {
      vi.useRealTimers();
    }
  });
});
