/**
 * `npm test`: runs the tests with all they need, Redis included. The last line has the number of tests that passed
 * and failed. Its own flags:
 *
 * - `--all` runs the tests of the executable, which are skipped otherwise, and those of the benchmark in any case;
 *   otherwise these are skipped while `bench/` is as in the commit before. It also runs Connect's conformance suite, if
 *   its runner is available.
 * - `--clients` installs what other makers' clients and test suites need as well (about a gigabyte), builds `govc`, and
 *   fails when a test is skipped: `npm run test:clients`.
 * - `--browser` runs the tests in a browser, and nothing else, and installs Chromium for them: `npm run test:browser`.
 *   With `--all` they run if a Chromium is there.
 * - `--no-install` installs nothing and fails with one line when something is missing.
 * - `--watch` runs tests again when files change.
 *
 * Other arguments go to vitest, for example `npm test -- test/unit`.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clientsNotRun, clientTools } from "./support/client-tools.ts";
import { clientPackages } from "./support/clients.ts";
import { chromiumNeeded, neededExecutables, provide } from "./support/executables.ts";
import { buildGovc } from "./support/govc.ts";
import { conformanceTools, makePeerTools, peerTools } from "./support/peer-tools.ts";
import { type Tally, tallyFileVariable } from "./support/tally-reporter.ts";
import { tempDir } from "./support/temp-dir.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const ownFlags = ["--all", "--browser", "--clients", "--no-install", "--watch"] as const;
const args = process.argv.slice(2);
const flags = new Set(ownFlags.filter((flag) => args.includes(flag)));
process.exitCode = await main(args.filter((arg) => !flags.has(arg as never)));

async function main(args: readonly string[]): Promise<number> {
  const withClients = flags.has("--clients");
  try {
    const needed = [
      ...neededExecutables,
      ...(withClients ? clientPackages : []),
      ...(flags.has("--browser") ? [chromiumNeeded] : []),
    ];
    provide(needed, { install: !flags.has("--no-install") });
    if (flags.has("--all") && !chromiumNeeded.isMet())
      process.stdout.write("skipped, without Chromium: test/browser. npm run test:browser installs it\n");
    if (withClients) buildGovc();
    if (!flags.has("--no-install")) {
      const tools = withClients ? [...peerTools, ...clientTools] : flags.has("--all") ? conformanceTools : [];
      const lines = [...makePeerTools(tools), ...(withClients ? clientsNotRun : [])];
      for (const line of lines) process.stdout.write(`${line}\n`);
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    return 1;
  }
  await using directory = await tempDir();
  const tallyFile = join(directory.path, "tally.json");
  const exitCode = await vitest(args, tallyFile);
  const tally: Tally = existsSync(tallyFile)
    ? JSON.parse(readFileSync(tallyFile, "utf8"))
    : { passed: 0, failed: 0, skipped: 0 };
  if (tally.failed === 0 && (exitCode !== 0 || tally.passed === 0)) {
    process.stdout.write(tally.passed === 0 ? "no test was run\n" : "the run failed outside of the tests\n");
    tally.failed = 1;
  }
  if (withClients && tally.skipped > 0) {
    process.stdout.write("with --clients no test may be skipped\n");
    tally.failed += tally.skipped;
    tally.skipped = 0;
  }
  process.stdout.write(`${summaryOf(tally)}\n`);
  return tally.failed === 0 ? 0 : exitCode || 1;
}

/** Resolves with the exit code; a run that was ended by a signal has the shell's 128 + number. */
function vitest(args: readonly string[], tallyFile: string): Promise<number> {
  const ours = [flags.has("--watch") ? "watch" : "run", "--config", "test/vitest.config.ts"];
  const reporters = ["--reporter=default", "--reporter=./test/support/tally-reporter.ts"];
  if (flags.has("--browser")) ours.push("--project", "browser");
  const child = spawn(
    process.execPath,
    [join(root, "node_modules/vitest/vitest.mjs"), ...ours, ...reporters, ...args],
    {
      cwd: root,
      stdio: "inherit",
      env: {
        // With the cache the program starts in half the time, and tests start it some hundred times.
        NODE_COMPILE_CACHE: join(root, "node_modules/.cache/node"),
        ...process.env,
        [tallyFileVariable]: tallyFile,
        ...(!benchIsTested(args) && { TEST_SKIP_BENCH: "true" }),
        ...(isEverythingTested(args) && { TEST_ALL: "true" }),
        TEST_PEERS: peersOf(args),
        ...(isBrowserTested(args) && { TEST_BROWSER: "true" }),
      },
    },
  );
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
}

/** Asked for by `--all` or by naming files. */
function isEverythingTested(args: readonly string[]): boolean {
  return flags.has("--all") || args.some((arg) => !arg.startsWith("-"));
}

/** Which tests with other makers' test suites run: they take minutes. */
function peersOf(args: readonly string[]): "all" | "conformance" | "none" {
  if (flags.has("--clients") || args.some((arg) => arg.includes("integration/clients"))) return "all";
  return flags.has("--all") ? "conformance" : "none";
}

function isBrowserTested(args: readonly string[]): boolean {
  if (flags.has("--browser") || args.some((arg) => arg.includes("test/browser"))) return true;
  return flags.has("--all") && chromiumNeeded.isMet();
}

/** As everything, or because the benchmark, or a version of its peers, differs. */
function benchIsTested(args: readonly string[]): boolean {
  if (isEverythingTested(args)) return true;
  const paths = ["bench", "test/integration/bench*", "package-lock.json"];
  // Fails when there is no commit before, or no git.
  const { status } = spawnSync("git", ["diff", "--quiet", "HEAD~", "--", ...paths], { cwd: root });
  if (status !== 0) return true;
  process.stdout.write("the benchmark has not changed, its tests are skipped: npm run test:all runs them\n");
  return false;
}

function summaryOf({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
