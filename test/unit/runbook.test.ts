import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { ProgramMetrics } from "../../src/telemetry/program-metrics.ts";
import { refusalReasons } from "../../src/telemetry/refusals.ts";
import { boardPanels, metricsIn, rulesFile, rulesTestFile } from "../support/prometheus.ts";

const rules = readFileSync(rulesFile, "utf8");
const runbook = readFileSync(join(import.meta.dirname, "../../docs/runbook.md"), "utf8");
const alerts = [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name!);

describe("every alert", () => {
  test.each(alerts)("%s has a section of the runbook, which it names, and a test", (alert) => {
    expect(runbook).toMatch(new RegExp(`^## ${alert}\n\n\\S`, "m"));
    expect(rules).toContain(`/docs/runbook.md#${alert.toLowerCase()}\n`);
    const cases = readFileSync(rulesTestFile, "utf8").split(`alertname: ${alert}\n`).slice(1);
    expect(
      cases.map((each) => each.includes("exp_labels") && !each.trimStart().startsWith("exp_alerts: []")),
    ).toEqual([false, true]);
  });

  test("of the runbook exists", () => {
    const sections = [...runbook.matchAll(/^## (\w+)$/gm)].map(([, name]) => name);
    expect(sections).toEqual(alerts);
  });
});

test("the runbook says what to do about each reason of a refusal", () => {
  for (const reason of [...Object.values(refusalReasons), "connections"])
    expect(runbook).toContain(`\`${reason}\``);
});

test("rules, board and runbook name metrics that exist", async () => {
  const pages = await Promise.all([
    new Metrics().expose(),
    new ProgramMetrics({ workers: 1 }).expose({ answered: 1 }),
  ]);
  const names = new Set(
    pages.flatMap(({ body }) => [...body.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!)),
  );
  const expressions = boardPanels().flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  const named = metricsIn([rules, runbook, ...expressions].join("\n"));
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((name) => !names.has(name.replace(/_bucket$/, "")))).toEqual([]);
});
