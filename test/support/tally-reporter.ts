import { writeFileSync } from "node:fs";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

/** Environment variable that names the file to write the tally to, as JSON. */
export const tallyFileVariable = "TEST_TALLY_FILE";

export interface Tally {
  passed: number;
  /** Failed tests, and what failed outside of a test: a file that can't be loaded, a hook, an unhandled error. */
  failed: number;
  skipped: number;
}

/** Counts a test run for `test/run.ts`. */
export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const file = process.env[tallyFileVariable];
    if (file === undefined) throw new Error(`${tallyFileVariable} is not set`);
    writeFileSync(file, JSON.stringify(count(modules, unhandledErrors)));
  }
}

function count(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): Tally {
  const tally = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
  for (const module of modules) {
    for (const suite of [module, ...module.children.allSuites()]) {
      if (suite.errors().length > 0) tally.failed++;
    }
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      // A test that never came to an end has not passed.
      tally[state === "pending" ? "failed" : state]++;
    }
  }
  return tally;
}
