import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { chart } from "../../deploy/helm/schema.ts";
import { helm } from "./client-tools.ts";

// biome-ignore lint/suspicious/noExplicitAny: objects of Kubernetes, whose schemas are checked elsewhere
export type Resource = any;

export const chartPath = fileURLToPath(chart);

/** Names of the sets of values in `ci/`. */
export const valueSets = readdirSync(join(chartPath, "ci")).map((name) => name.replace(".yaml", ""));

const valuesOf = (set: string) => ["--values", join(chartPath, "ci", `${set}.yaml`)];

/** What Helm writes for a set of values, with further arguments such as `--set`. */
export function rendered(set: string, ...args: readonly string[]): string {
  const command = ["template", "downlease", chartPath, "--namespace", "leases", ...valuesOf(set), ...args];
  return execFileSync(helm.path, command, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

/** As Kubernetes reads it: YAML 1.1. */
export function resourcesOf(text: string): Resource[] {
  return parseAllDocuments(text, { version: "1.1" })
    .map((document) => document.toJS())
    .filter(Boolean);
}

/** What Helm says when it refuses values; undefined when it takes them. */
export function refusal(set: string, ...args: readonly string[]): string | undefined {
  const command = ["template", "downlease", chartPath, ...valuesOf(set), ...args];
  const { status, stderr } = spawnSync(helm.path, command, { encoding: "utf8" });
  return status === 0 ? undefined : stderr;
}

/** @returns its output; it throws when something is wrong or could be better */
export function lint(set: string): string {
  return execFileSync(helm.path, ["lint", "--strict", chartPath, ...valuesOf(set)], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}
