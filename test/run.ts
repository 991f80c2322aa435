/**
 * `npm test`: runs the tests with all they need, Redis included. Arguments go to vitest, for example
 * `npm test -- test/unit`. The last line tells how many tests passed and failed.
 *
 * With `--clients` first, what other makers' clients need is installed as well (about half a gigabyte), `govc` is built, and a
 * test that is skipped fails the run: that is `npm run test:clients`.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clientPackages } from "./support/clients.ts";
import { neededExecutables, provide } from "./support/executables.ts";
import { buildGovc } from "./support/govc.ts";
import { type Tally, tallyFileVariable } from "./support/tally-reporter.ts";
import { tempDir } from "./support/temp-dir.ts";

const [first, ...rest] = process.argv.slice(2);
process.exitCode = first === "--clients" ? await main(rest, true) : await main(process.argv.slice(2), false);

async function main(args: readonly string[], withClients: boolean): Promise<number> {
  try {
    provide(withClients ? [...neededExecutables, ...clientPackages] : neededExecutables);
    if (withClients) buildGovc();
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
  const root = fileURLToPath(new URL("..", import.meta.url));
  const ours = ["run", "--config", "test/vitest.config.ts"];
  const reporters = ["--reporter=default", "--reporter=./test/support/tally-reporter.ts"];
  const child = spawn(
    process.execPath,
    [join(root, "node_modules/vitest/vitest.mjs"), ...ours, ...reporters, ...args],
    {
      cwd: root,
      stdio: "inherit",
      // With the cache, starting the program takes half the time, and tests start it some hundred times.
      env: {
        NODE_COMPILE_CACHE: join(root, "node_modules/.cache/node"),
        ...process.env,
        [tallyFileVariable]: tallyFile,
      },
    },
  );
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
}

function summaryOf({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
