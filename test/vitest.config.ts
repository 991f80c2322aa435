import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { SlowestFirst } from "./support/slowest-first.ts";

const bench = "test/integration/bench*.test.ts";
/** Tests with other makers' test suites and clients from other registries, of which CI runs the first. */
const peers = [
  "conformance",
  "interop",
  "h2spec",
  "protos",
  "vmware",
  "packages",
  "schemathesis",
  "prometheus",
  "deploy",
  "deploy-files",
  "minio",
  "minio-downloads",
].map((name) => `test/integration/clients-${name}.test.ts`);
/** Set by `run.ts`. */
const excludedPeers = { all: [], conformance: peers.slice(1), none: peers }[process.env.TEST_PEERS ?? "none"];
const hasBrowser = process.env.TEST_BROWSER !== undefined;
const skipsBench = process.env.TEST_SKIP_BENCH !== undefined;

const project = (
  name: string,
  options: NonNullable<TestProjectInlineConfiguration["test"]>,
): TestProjectInlineConfiguration => ({
  extends: true,
  test: { name, pool: "forks", testTimeout: 60_000, hookTimeout: 30_000, ...options },
});

/** Servers of tests are on this machine. */
const noProxies = Object.fromEntries(
  ["http_proxy", "https_proxy"].flatMap((name) => [name, name.toUpperCase()]).map((name) => [name, ""]),
);

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: {
    globalSetup: ["test/support/global-setup.ts"],
    teardownTimeout: 10_000,
    env: noProxies,
    // Most of a test's time is waiting for a lease or a process, so there are more workers than cores.
    maxConcurrency: 20,
    maxWorkers: availableParallelism() + 3,
    sequence: { sequencer: SlowestFirst },
    coverage: { provider: "v8", include: ["src/**/*.ts"], reporter: ["text", "html"] },
    projects: [
      // These keep no state outside of themselves, so that one worker can run many files.
      project("unit", { include: ["test/unit/**/*.test.ts"], isolate: false }),
      project("integration", {
        include: ["test/{contract,integration}/**/*.test.ts"],
        exclude: [bench, ...(excludedPeers ?? [])],
      }),
      // A browser takes as much as many other tests: two at a time.
      ...(hasBrowser
        ? [
            project("browser", {
              include: ["test/browser/**/*.test.ts"],
              globalSetup: ["test/browser/support/build-console.ts"],
              maxWorkers: 2,
              sequence: { groupOrder: 1 },
            }),
          ]
        : []),
      // It loads the whole machine, so that others would miss their times beside it.
      project("bench", {
        include: [bench],
        setupFiles: skipsBench ? ["test/support/skip-bench.ts"] : [],
        maxWorkers: 1,
        sequence: { groupOrder: 2 },
      }),
    ],
  },
});
