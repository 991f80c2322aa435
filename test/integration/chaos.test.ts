import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runScenario } from "../chaos/run-scenario.ts";
import { scenarios } from "../chaos/scenarios/scenarios.ts";
import { describeViolation } from "../chaos/violation.ts";
import { startProcess } from "../support/process.ts";

/** Depend on how busy the machine is: `npm run chaos` looks at them. */
const ofTime = ["answered too late", "download after the end", "ready while writes fail", "served too late"];

test.concurrent.each(["replica-kill", "sqlite-crash"])(
  "clients see no promise broken in %s",
  async (name) => {
    const scenario = scenarios.find((each) => each.name === name)!;
    const { signal } = new AbortController();
    const seed = Math.floor(Math.random() * 1e6);
    const result = await runScenario(scenario, { seconds: 4, seed, signal, progress: () => {} });
    const violations = result.violations.filter(({ kind }) => !ofTime.includes(kind));
    expect(
      violations.map((each) => describeViolation(each, result.origin)),
      `seed ${seed}`,
    ).toEqual([]);
    const answered = result.history.filter(({ outcome }) => outcome === "ok");
    const kinds = new Set(answered.map(({ kind }) => kind));
    expect(answered.length).toBeGreaterThan(100);
    expect([...kinds]).toEqual(expect.arrayContaining(["create", "get", "keepAlive", "prepare", "list"]));
  },
  90_000,
);

test("npm run chaos refuses a scenario that it does not have", async () => {
  const program = fileURLToPath(new URL("../chaos/run.ts", import.meta.url));
  const run = await startProcess(process.execPath, [program, "no-such-thing"]);
  expect((await run.exited).code).toBe(2);
  expect(run.stderr).toBe("There is no scenario 'no-such-thing'. npm run chaos -- list prints them.\n");
});
