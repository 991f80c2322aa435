import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const deploy = new URL("../../deploy/", import.meta.url);

export const rulesFile = fileURLToPath(new URL("prometheus/rules.yml", deploy));
export const rulesTestFile = fileURLToPath(new URL("prometheus/rules.test.yml", deploy));

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** The panels of the board. */
export function boardPanels(): readonly Panel[] {
  return JSON.parse(readFileSync(new URL("grafana/downlease.json", deploy), "utf8")).panels;
}

/** Names of the metrics in an expression. */
export function metricsIn(expression: string): string[] {
  return [...new Set(expression.match(/\b(?:downlease|process|nodejs)_\w+/g))].filter(
    (name) => !/_$/.test(name),
  );
}
