import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import {
  conformanceTools,
  conformanceTypes,
  connectConformance,
  reasonAgainstTools,
} from "../support/peer-tools.ts";
import { startProcess } from "../support/process.ts";

const directory = resolve(import.meta.dirname, "../conformance");
const reason = reasonAgainstTools(conformanceTools);

/** Most of a lane's time is the processor's: a minute on two cores. */
const timeout = 600_000;

/** In CI only the fast lane, because what it leaves to Connect's runtime is most of the suite. */
const lanes = process.env.TEST_PEERS === "conformance" ? ["on"] : ["on", "off"];

describe("Connect's conformance suite", () => {
  for (const fastLane of lanes) {
    const name = `passes but for the listed cases, fast lane ${fastLane}`;
    if (reason !== undefined) {
      test.skip(`${name} (skipped: ${reason})`);
      continue;
    }
    test(name, { timeout }, async () => {
      const server = [
        process.execPath,
        `${directory}/conformance-server.ts`,
        conformanceTypes.path,
        fastLane,
      ];
      const lists = ["--known-failing", "known-failing.txt", "--known-flaky", "known-flaky.txt"];
      const options = ["--mode", "server", "--conf", `${directory}/config.yaml`];
      const files = lists.map((each) => (each.startsWith("--") ? each : `@${directory}/${each}`));
      const runner = await startProcess(connectConformance.path, [...options, ...files, "--", ...server]);
      const { code } = await runner.exited;
      const [summary] = /Total cases:[\s\S]*/.exec(runner.stdout) ?? [];
      process.stdout.write(`conformance, fast lane ${fastLane}: ${summary?.replaceAll(/\s+/g, " ")}\n`);
      const failed = runner.stdout.match(/^FAILED:.*\n(?:\t.*\n)*/gm) ?? [];
      expect(failed.slice(0, 20).join(""), runner.stderr).toBe("");
      expect(code, runner.stdout.slice(-2000)).toBe(0);
      // The whole suite, not a part of it.
      expect(Number(/Total cases: (\d+)/.exec(runner.stdout)?.[1])).toBeGreaterThan(5000);
    });
  }
});
