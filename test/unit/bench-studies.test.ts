import { describe, expect, test } from "vitest";
import { help, readCommandLine } from "../../bench/command-line.ts";
import type { Figures } from "../../bench/figures.ts";
import { judge, ratioGoal, valueGoal, verdictCells } from "../../bench/goals.ts";
import { NeedMissing } from "../../bench/needs.ts";
import { goalsOf, tablesOf } from "../../bench/report.ts";
import { inRounds, orderOf } from "../../bench/rounds.ts";
import { runStudies } from "../../bench/run-studies.ts";
import { studies } from "../../bench/studies/studies.ts";
import type { Bench, Study } from "../../bench/study.ts";

const figures: Figures = {
  metrics: { rate: { unit: "calls/s", better: "more" }, p99: { unit: "ms", better: "less" } },
  rows: [
    {
      name: "ours",
      rounds: [
        { rate: 30, p99: 4 },
        { rate: 20, p99: 9 },
        { rate: 40, p99: 5 },
      ],
    },
    { name: "peer", rounds: [{ rate: 10 }, { rate: 10 }, { rate: 20 }] },
  ],
  missing: { "Go peer": "Go" },
};

const fast = ratioGoal({ what: "fast", target: "≥ 2.5", metric: "rate", row: "ours", against: "peer" });

function study(name: string, more: Partial<Study> = {}): Study {
  return {
    name,
    description: `what ${name} measures`,
    budgetSeconds: 60,
    tables: [name],
    goals: [fast],
    run: async () => ({ tables: [{ name, title: name, header: ["a"], rows: [["1"]] }], figures }),
    ...more,
  };
}

const lacking = { name: "nginx", isMet: () => false };
const log: string[] = [];
const bench = { options: { isQuick: false }, log: (text) => void log.push(text) } as Bench;

describe("a goal", () => {
  test("is met by the ratio of medians, and shows the spread", () => {
    const verdict = judge(fast, figures);
    expect(verdict).toMatchObject({ met: true, measured: { median: 3, min: 2, max: 3 } });
    expect(verdictCells(verdict)).toEqual(["fast", "≥ 2.5", "3.00 (2.00–3.00)", "yes"]);
  });

  test("that is missed says so", () => {
    const goal = valueGoal({ what: "p99", target: "< 5 ms", metric: "p99", rows: ["ours"] });
    expect(verdictCells(judge(goal, figures))).toEqual(["p99", "< 5 ms", "5.0 ms (4.0–9.0)", "**missed**"]);
  });

  test("may be for the largest of all rounds", () => {
    const goal = valueGoal({
      what: "p99",
      target: "≤ 8 ms",
      metric: "p99",
      rows: ["ours"],
      ofMaximum: true,
    });
    expect(judge(goal, figures)).toMatchObject({ met: false, measured: { median: 9 } });
  });

  test("of a row that the machine can't measure names what is missing", () => {
    const goal = ratioGoal({ what: "Go", target: "≥ 1.1", metric: "rate", row: "ours", against: "Go peer" });
    expect(verdictCells(judge(goal, figures))).toEqual(["Go", "≥ 1.1", "not measured: needs Go", ""]);
  });

  test.each([
    ["row", { row: "oars", metric: "rate" }, "no row oars"],
    ["metric", { row: "ours", metric: "cpu" }, "ours has no cpu"],
  ])("of a %s that does not exist is a mistake", (_what, place, message) => {
    const goal = ratioGoal({ what: "wrong", target: "≥ 1", against: "peer", ...place });
    expect(() => judge(goal, figures)).toThrow(message);
  });
});

describe("a study that needs what the machine lacks", () => {
  const list = [study("one"), study("two", { needs: [lacking] }), study("three")];

  test("is skipped by name in a whole run", async () => {
    const runs = await runStudies(list, bench, { skipsMissing: true });
    expect(runs.map(({ missing }) => missing)).toEqual([undefined, "nginx", undefined]);
    expect(goalsOf(runs).rows.map((cells) => cells[2])).toEqual([
      "3.00 (2.00–3.00)",
      "not measured: needs nginx",
      "3.00 (2.00–3.00)",
    ]);
    expect(runs.flatMap(tablesOf)[1]).toMatchObject({ name: "two", rows: [["needs nginx"]] });
    expect(log).toContain("two not measured: needs nginx; to do: three (about 1 min)");
  });

  test("is an error when it is named, before anything is measured", async () => {
    let measured = 0;
    const counted = study("one", {
      run: async () => {
        measured++;
        return { tables: [], figures };
      },
    });
    const running = runStudies([counted, list[1]!], bench, { skipsMissing: false });
    await expect(running).rejects.toThrow("two can't be measured: needs nginx");
    expect(measured).toBe(0);
  });

  test("may notice that only as it runs", async () => {
    const late = study("late", { run: () => Promise.reject(new NeedMissing("MinIO", "late")) });
    const runs = await runStudies([late], bench, { skipsMissing: true });
    expect(runs[0]).toMatchObject({ missing: "MinIO" });
    await expect(runStudies([late], bench, { skipsMissing: false })).rejects.toThrow("needs MinIO");
  });
});

test("a study that fails does not keep the others from running", async () => {
  const broken = study("broken", { run: () => Promise.reject(new Error("wrong answer")) });
  const runs = await runStudies([broken, study("one")], bench, { skipsMissing: true });
  expect(runs.map(({ study, failure }) => [study.name, failure])).toEqual([
    ["broken", new Error("wrong answer")],
    ["one", undefined],
  ]);
  expect(goalsOf(runs).rows[0]).toEqual(["fast", "≥ 2.5", "not measured: the study failed", ""]);
  expect(log.find((line) => line.startsWith("broken failed: Error: wrong answer"))).toBeDefined();
});

test("a whole run fits into twelve minutes", () => {
  const whole = studies.filter(({ isExtra }) => !isExtra);
  expect(whole.reduce((sum, { budgetSeconds }) => sum + budgetSeconds, 0)).toBeLessThanOrEqual(12 * 60);
});

describe("the command line", () => {
  const list = [study("one"), study("two", { isExtra: true }), study("three", { needs: [lacking] })];
  const read = (...args: string[]) => {
    const result = readCommandLine(args, list);
    if (result === "help") throw new Error("unexpected help");
    return { ...result, names: result.studies.map(({ name }) => name) };
  };

  test("runs all studies that are not extra, and writes the page", () => {
    expect(read()).toMatchObject({ names: ["one", "three"], isNamed: false, isWhole: true, writes: true });
  });

  test("runs those that are named", () => {
    expect(read("--only", "two, one")).toMatchObject({
      names: ["one", "two"],
      isNamed: true,
      isWhole: false,
      writes: false,
    });
  });

  test("writes a run of other lengths only when it is asked to", () => {
    expect(read("--rounds", "3")).toMatchObject({ writes: false, options: { rounds: 3 } });
    expect(read("--quick", "--write")).toMatchObject({ writes: true, options: { isQuick: true, rounds: 1 } });
  });

  test.each([
    [["--only", "four"], "no study four; there are one, two, three"],
    [["--rounds", "no"], "--rounds must be a number greater than 0"],
    [["--unknown"], "unknown"],
  ])("refuses %j", (args, message) => {
    expect(() => read(...args)).toThrow(message);
  });

  test("its help has a line for each study", () => {
    expect(help(list)).toContain("two    what two measures (about 60 s, only when named)");
    expect(help(list)).toContain("three  what three measures (about 60 s; needs nginx)");
    for (const { name, description } of studies)
      expect(help()).toContain(`${name} `.padEnd(9) && description);
  });
});

test("contenders take turns, and none is always the first or behind the same other", async () => {
  const order: string[] = [];
  const measured = await inRounds(["a", "b", "c"], 4, async (name, round) => {
    order.push(name);
    return `${name}${round}`;
  });
  expect(order.join("")).toBe("abcbcabaccba");
  expect(measured[1]).toEqual(["b1", "b2", "b3", "b4"]);
  expect([1, 2, 3, 4].map((round) => orderOf(2, round)[0])).toEqual([0, 1, 1, 0]);
});

test("names of studies, tables and goals are unique", () => {
  for (const names of [
    studies.map(({ name }) => name),
    studies.flatMap(({ tables }) => tables),
    studies.flatMap(({ goals }) => goals.map(({ what }) => what)),
  ]) {
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  }
});
