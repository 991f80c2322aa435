import { describe, expect, test, vi } from "vitest";
import { type DownloadHolders, DownloadShares } from "../../src/downloads/download-shares.ts";
import { Downloads } from "../../src/downloads/downloads.ts";

interface Some extends Partial<DownloadHolders> {
  readonly times: number;
}

/** How many of so many downloads get a place, and why the next one does not. */
function enter(shares: DownloadShares, { times, ...some }: Some): [number, string?] {
  const holders = { sessionId: "s1", owner: "alice", network: "10.0.0.1", ...some };
  for (let time = 0; time < times; time++) {
    try {
      shares.enter(holders);
    } catch (error) {
      return [time, (error as { messageId: string }).messageId.replace("downlease.download.", "")];
    }
  }
  return [times];
}

const all = 2_000;

describe("of 1000 downloads at a time", () => {
  test("one session alone may have half, and another of the same owner and address gets a place", () => {
    const shares = new DownloadShares(1000);
    expect(enter(shares, { times: all })).toEqual([500, "session_share"]);
    expect(enter(shares, { times: 16, sessionId: "s2" })).toEqual([16]);
  });

  test("one principal alone may have two thirds, and another at the same address gets places", () => {
    const shares = new DownloadShares(1000);
    enter(shares, { times: all });
    expect(enter(shares, { times: all, sessionId: "s2" })).toEqual([166, "principal_share"]);
    expect(enter(shares, { times: all, sessionId: "s3", network: "10.0.0.2" })).toEqual([
      0,
      "principal_share",
    ]);
    expect(enter(shares, { times: 16, sessionId: "s4", owner: "bob" })).toEqual([16]);
  });

  test("one address alone may have four fifths, and others still get places", () => {
    const shares = new DownloadShares(1000);
    for (const owner of ["a", "b", "c", "d"]) enter(shares, { times: all, sessionId: owner, owner });
    expect(enter(shares, { times: all, sessionId: "e", owner: "e" })).toEqual([0, "address_share"]);
    expect(enter(shares, { times: 1, sessionId: "f", owner: "f", network: "10.0.0.2" })).toEqual([1]);
    const newcomers = Array.from({ length: 300 }, (_, index) =>
      enter(shares, { times: 1, sessionId: `n${index}`, owner: `n${index}`, network: `net ${index}` }),
    );
    expect(newcomers.filter(([count]) => count === 1).length).toBe(199);
    expect(newcomers.at(-1)).toEqual([0, "overloaded"]);
  });

  test("anonymous sessions have no share of an owner in common", () => {
    const shares = new DownloadShares(1000);
    const owner = undefined;
    enter(shares, { times: 400, owner, sessionId: "s1" });
    expect(enter(shares, { times: all, owner, sessionId: "s2" })).toEqual([400, "session_share"]);
    expect(enter(shares, { times: all, owner, sessionId: "s3", network: "10.0.0.2" })).toEqual([
      1,
      "overloaded",
    ]);
  });

  test("a place that was refused is held by nobody, and nothing is kept of downloads that have ended", () => {
    const shares = new DownloadShares(1000);
    enter(shares, { times: all });
    enter(shares, { times: all, sessionId: "s2" });
    for (let end = 0; end < 500; end++)
      shares.leave({ sessionId: "s1", owner: "alice", network: "10.0.0.1" });
    for (let end = 0; end < 166; end++)
      shares.leave({ sessionId: "s2", owner: "alice", network: "10.0.0.1" });
    expect(shares.size).toBe(0);
    expect(enter(shares, { times: all })).toEqual([500, "session_share"]);
  });
});

test.each([1, 2, 3, 5, 10])("%i at a time are some for one session", (limit) => {
  const shares = new DownloadShares(limit);
  expect(enter(shares, { times: all })[0]).toBe(Math.max(1, Math.floor(limit / 2)));
});

test("the shares follow a limit that changes", () => {
  const shares = new DownloadShares(10);
  expect(enter(shares, { times: all })).toEqual([5, "session_share"]);
  shares.setLimit(100);
  expect(enter(shares, { times: all })).toEqual([45, "session_share"]);
  shares.setLimit(10);
  expect(enter(shares, { times: 1, sessionId: "s2", owner: "bob", network: "10.0.0.2" })).toEqual([
    0,
    "overloaded",
  ]);
});

test("a lease that becomes shorter is renewed as often as it needs", () => {
  vi.useFakeTimers();
  const recordSent = vi.fn(async () => ({ outcome: "renewed" as const, expiresAt: 0, progress: 0 }));
  const terms = { leaseMs: 60_000 };
  const downloads = new Downloads({
    files: { recordSent },
    ends: { watchEnds: () => ({ isReliable: true, stop() {} }) },
    sessions: { get: async () => undefined },
    preparations: { find: async () => [] },
    terms,
    stallMs: 60_000,
  });
  downloads.begin("s1", "f");
  terms.leaseMs = 80;
  vi.advanceTimersByTime(500);
  const download = downloads.begin("s2", "f");
  download.addSent(1);
  download.addSent(1);
  return vi
    .advanceTimersByTimeAsync(100)
    .then(() => expect(recordSent).toHaveBeenCalledTimes(2))
    .finally(() => vi.useRealTimers());
});

test("of sessions whose bytes a store does not record, only so many are kept", () => {
  const downloads = new Downloads({
    files: { recordSent: () => new Promise(() => {}) },
    ends: { watchEnds: () => ({ isReliable: true, stop() {} }) },
    sessions: { get: async () => undefined },
    preparations: { find: async () => [] },
    terms: { leaseMs: 60_000 },
    stallMs: 60_000,
  });
  const active = downloads.begin("active", "f");
  for (let index = 0; index < 10_100; index++) {
    const download = downloads.begin(`s${index}`, "f");
    download.addSent(1);
    downloads.end(download);
  }
  expect(downloads.size).toBe(10_000);
  let reason: string | undefined;
  active.onCut = (given) => {
    reason = given;
  };
  downloads.cutAll();
  expect(reason).toBe("server_stopping");
});
