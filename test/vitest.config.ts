import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { SlowestFirst } from "./support/slowest-first.ts";

const shared = {
  pool: "forks",
  testTimeout: 20_000,
  hookTimeout: 30_000,
  teardownTimeout: 10_000,
} as const;

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: {
    globalSetup: ["test/support/global-setup.ts"],
    // Most of a test's time is waiting for a lease or a process, so there are more workers than cores.
    maxWorkers: Math.max(3, availableParallelism() + 1),
    sequence: { sequencer: SlowestFirst },
    projects: [
      {
        extends: true,
        // They keep no state outside of themselves, so that one worker runs many of them.
        test: { ...shared, name: "unit", include: ["test/unit/**/*.test.ts"], isolate: false },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: "integration",
          include: ["test/{contract,integration}/**/*.test.ts"],
        },
      },
    ],
  },
});
