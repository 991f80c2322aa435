import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compare } from "../../bench/comparison.ts";
import { type ResultRow, type Results, readResults, resultsOf, writeResults } from "../../bench/results.ts";
import { errorShare, shift } from "../../bench/statistics.ts";
import type { Study } from "../../bench/study.ts";
import { tempDir } from "../support/temp-dir.ts";

const conditions: Results["conditions"] = {
  machine: { cores: 2, processor: "made up", memoryGib: 8, system: "Linux" },
  versions: { node: "24.21.0", redis: "7.0.15" },
  ...{ sessions: 1000, callers: 200, rounds: 6, seconds: 1, warmUpSeconds: 2, isQuick: false },
};

const metrics = {
  rate: { unit: "calls/s", better: "more" as const },
  cpu: { unit: "µs", better: "less" as const },
  bytes: { unit: "bytes", better: "less" as const, isSteady: true },
  generator: { unit: "µs", better: "neither" as const },
};

/** Six rounds around a value, a hundredth apart at most. */
const around = (value: number) => [0.995, 1.004, 1, 0.998, 1.003, 1.001].map((factor) => value * factor);

function results(rows: readonly ResultRow[], more: Partial<Results> = {}): Results {
  const study = { name: "rest", seconds: 40, metrics, rows: [...rows], goals: [] };
  return { schema: 1, commit: "0123456789ab", isModified: false, conditions, studies: [study], ...more };
}

const peer = (rate: number): ResultRow => ({ name: "peer", isPeer: true, values: { rate: around(rate) } });
const ours = (values: ResultRow["values"]): ResultRow => ({ name: "ours", peer: "peer", values });

/** Of the row of the service, by metric. */
function judgements(before: Results, after: Results) {
  return Object.fromEntries(
    compare(before, after).changes.map(({ metric, judgement }) => [metric, judgement]),
  );
}

describe("what changed", () => {
  const before = results([peer(1000), ours({ rate: around(900), cpu: around(30), bytes: around(9000) })]);
  const now = (values: ResultRow["values"]) => results([peer(1000), ours(values)]);

  test("the same results are noise", () => {
    expect(judgements(before, before)).toEqual({ rate: "noise", cpu: "noise", bytes: "noise" });
  });

  test("a fifth more or less with a small spread is no noise", () => {
    const changed = now({ rate: around(720), cpu: around(24), bytes: around(10_800) });
    expect(judgements(before, changed)).toEqual({ rate: "worse", cpu: "better", bytes: "worse" });
  });

  test("a fifth less with a large spread is noise", () => {
    expect(judgements(before, now({ rate: [400, 1100, 600, 950, 500, 800] }))).toEqual({ rate: "noise" });
  });

  test("a change of a few hundredths is noise, however small the spread", () => {
    expect(judgements(before, now({ bytes: around(9300) }))).toEqual({ bytes: "noise" });
  });

  test("one round is too few", () => {
    const once = now({ rate: [500], bytes: [90_000] });
    expect(judgements(before, once)).toEqual({ rate: "too few rounds", bytes: "too few rounds" });
  });

  test("values that explain others and rows of peers are not judged", () => {
    const [left, right] = [10, 90].map((generator) =>
      results([peer(generator * 10), ours({ generator: around(generator) })]),
    );
    expect(compare(left!, right!).changes).toEqual([]);
  });

  test("counts that are zero in both are noise, and those that appear are worse", () => {
    const zeros = results([ours({ bytes: around(0) })]);
    expect(judgements(zeros, zeros)).toEqual({ bytes: "noise" });
    expect(judgements(zeros, results([ours({ bytes: around(7) })]))).toEqual({ bytes: "worse" });
  });
});

describe("the machine", () => {
  const before = results([peer(1000), ours({ rate: around(900), cpu: around(30), bytes: around(9000) })]);
  // Everything takes twice as long.
  const rows = [peer(500), ours({ rate: around(450), cpu: around(60), bytes: around(9000) })];

  test("cancels out of the ratio to a peer of the same run", () => {
    const { changes, drift } = compare(before, results(rows));
    expect(drift?.median).toBeCloseTo(2);
    expect(changes.find(({ metric }) => metric === "rate")).toMatchObject({
      peer: "peer",
      judgement: "noise",
    });
  });

  test("is not taken for the service where there is no peer", () => {
    expect(judgements(before, results(rows)).cpu).toBe("noise");
    const slower = [peer(500), ours({ cpu: around(90) })];
    expect(judgements(before, results(slower)).cpu).toBe("worse");
  });

  test("of another kind says nothing without a peer, except of bytes", () => {
    const other = { ...conditions, machine: { ...conditions.machine, processor: "another" } };
    const comparison = compare(before, results(rows, { conditions: other }));
    expect(comparison.conditions[0]).toContain('"made up"');
    expect(comparison.changes.map(({ metric, judgement }) => [metric, judgement])).toEqual([
      ["rate", "noise"],
      ["cpu", "another machine"],
      ["bytes", "noise"],
    ]);
  });
});

test("rows and studies that are missing are named, with the reason", () => {
  const both = results([peer(1000), { ...peer(1000), name: "Go" }, ours({ rate: around(900) })]);
  const one = results([peer(1000), ours({ rate: around(900) })]);
  expect(compare(both, one)).toMatchObject({ missing: ["rest/Go"], added: [] });
  expect(compare(one, both)).toMatchObject({ missing: [], added: ["rest/Go"] });
  const [study] = one.studies;
  const explained = { ...one, studies: [{ ...study!, missing: { Go: "Go" } }] };
  expect(compare(both, explained).missing).toEqual(["rest/Go: needs Go"]);
  expect(compare(both, { ...one, studies: [] }).missing).toEqual(["rest"]);
  const skipped = { ...one, studies: [{ ...study!, rows: [], needs: "nginx" }] };
  expect(compare(both, skipped).missing).toEqual(["rest: needs nginx"]);
});

test("goals that are met in one run only are named", () => {
  const [left, right] = [true, false].map((met) => {
    const measured = { median: 1, min: 1, max: 1, text: met ? "4 ms" : "6 ms" };
    const run = results([]);
    return {
      ...run,
      studies: [{ ...run.studies[0]!, goals: [{ what: "p99", target: "≤ 5 ms", measured, met }] }],
    };
  });
  expect(compare(left!, right!).goals).toEqual(["missed now: p99 (≤ 5 ms): 4 ms → 6 ms"]);
  expect(compare(left!, left!).goals).toEqual([]);
});

describe("the interval", () => {
  test("is exact: five values above five others differ, four above four may by chance", () => {
    const [low, high] = [
      [1, 2, 3, 4, 5],
      [10, 20, 30, 40, 50],
    ];
    expect(shift(high, low)?.min).toBeGreaterThan(1);
    expect(shift(low, high)?.max).toBeLessThan(1);
    expect(shift(high.slice(1), low)?.min).toBeGreaterThan(1);
    expect(shift(high.slice(1), low.slice(1))).toBeUndefined();
    expect(shift([], low)).toBeUndefined();
  });

  test("takes chance for a difference as seldom as it says", () => {
    // All orders of six of twelve ranks.
    let [orders, different] = [0, 0];
    for (let set = 0; set < 2 ** 12; set++) {
      const ranks = Array.from({ length: 12 }, (_, index) => index + 1);
      const first = ranks.filter((rank) => (set >> (rank - 1)) & 1);
      if (first.length !== 6) continue;
      orders++;
      const interval = shift(
        first,
        ranks.filter((rank) => !first.includes(rank)),
      )!;
      if (interval.min > 1 || interval.max < 1) different++;
    }
    expect(orders).toBe(924);
    expect(different / orders).toBeLessThanOrEqual(errorShare);
    expect(different / orders).toBeGreaterThan(errorShare / 2);
  });

  test("can be computed for many rounds", () => {
    expect(
      shift(
        Array.from({ length: 40 }, (_, index) => index + 100),
        around(50),
      )?.min,
    ).toBeGreaterThan(1);
  });
});

describe("the file", () => {
  const study: Study = {
    name: "rest",
    description: "",
    budgetSeconds: 1,
    tables: [],
    goals: [],
    run: () => Promise.reject(new Error("not called")),
  };
  const figures = {
    metrics,
    rows: [{ name: "ours", rounds: [{ rate: 1234.56789, cpu: Number.NaN }, { rate: 100_000_000 }] }],
  };
  const runs = [
    { study, result: { tables: [], figures }, seconds: 12.3 },
    { study: { ...study, name: "downloads" }, missing: "nginx", seconds: 0 },
    { study: { ...study, name: "broken" }, failure: new Error("broken"), seconds: 1 },
  ];

  test("holds every round, and is read as it was written", async () => {
    await using directory = await tempDir();
    const path = join(directory.path, "results.json");
    const written = resultsOf(runs, conditions);
    writeResults(path, written);
    expect(readResults(path)).toEqual(written);
    expect(written.studies.map(({ name, needs, rows }) => [name, needs, rows])).toEqual([
      ["rest", undefined, [{ name: "ours", values: { rate: [1234.6, 100_000_000], cpu: [null, null] } }]],
      ["downloads", "nginx", []],
    ]);
    expect(written.commit).toMatch(/^([0-9a-f]{12}|unknown)$/);
  });

  test("of another schema is refused", async () => {
    await using directory = await tempDir();
    const path = join(directory.path, "results.json");
    writeFileSync(path, JSON.stringify({ ...results([]), schema: 2 }));
    expect(() => readResults(path)).toThrow("no results of schema 1");
  });
});

describe("the command", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, "../../bench/compare.ts"), ...args], {
      encoding: "utf8",
    });

  test("fails on what is worse only when it is asked to", async () => {
    await using directory = await tempDir();
    const [old, now] = ["old.json", "new.json"].map((name) => join(directory.path, name));
    writeResults(old!, results([peer(1000), ours({ rate: around(900) })]));
    writeResults(now!, results([peer(1000), ours({ rate: around(600) })]));
    const lenient = run(old!, now!);
    expect(lenient.stdout).toContain("1 worse, 0 better, 0 noise");
    expect(lenient.stdout).toMatch(
      /\| worse \| rest \| ours \| rate against peer \| 0\.9 \| 0\.6 \| 0\.67 \(/,
    );
    expect(lenient.status).toBe(0);
    expect(run(old!, now!, "--fail-on-worse").status).toBe(1);
    expect(run(old!, old!, "--fail-on-worse").status).toBe(0);
  });

  test("says what is wrong with its arguments", () => {
    const { status, stderr } = run("one.json");
    expect(stderr).toContain("expected two files");
    expect(status).toBe(2);
  });
});
