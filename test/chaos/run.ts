/** `npm run chaos`: holds the service to its promises while servers, connections and processes fail. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { neededExecutables, provide } from "../support/executables.ts";
import { counted, summaryLines, writePage } from "./report.ts";
import { type Result, runScenario } from "./run-scenario.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios/scenarios.ts";
import { describeViolation, type Violation } from "./violation.ts";

const help = `npm run chaos -- SCENARIO... [options]

  SCENARIO             one or more of the scenarios below, all for every one, list to print them

  --seconds <number>   how long clients work at least, instead of the scenario's own time
  --seed <number>      seed of the random calls; printed, and random by default
  --show <number>      violations to print of each scenario (5)
  --history <file>     write the calls of the last scenario to this file, a JSON object a line
  --write              write what came out into the table of docs/reliability.md
  --help               print this

Exit code: 0 when every promise was kept, 1 when one was broken or a scenario broke off, 2 when the command is wrong.

${list()}`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parsed();
  if (values.help || positionals.length === 0) {
    process.stdout.write(help);
    return values.help ? 0 : 2;
  }
  if (positionals.includes("list")) {
    process.stdout.write(list());
    return 0;
  }
  const chosen = positionals.includes("all") ? scenarios : positionals.map(scenarioNamed);
  const [seconds, show] = [numberOf("seconds", values.seconds), numberOf("show", values.show) ?? 5];
  const seed = numberOf("seed", values.seed) ?? Math.floor(Math.random() * 1e6);
  provide(neededExecutables);
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // The second one ends the run at once; its servers are ended by a guard.
    process.once(signal, () => {
      interrupted.abort();
      process.once(signal, () => process.exit(1));
    });
  }
  const results: Result[] = [];
  const broken: string[] = [];
  for (const scenario of chosen) {
    print(`\n== ${scenario.name}: ${scenario.what} (seed ${seed})`);
    try {
      const options = { seconds, seed, signal: interrupted.signal, progress: print };
      const result = await runScenario(scenario, options);
      results.push(result);
      report(result, show);
      if (values.history !== undefined) writeFileSync(values.history, linesOf(result));
    } catch (error) {
      if (interrupted.signal.aborted) break;
      broken.push(scenario.name);
      print(`the scenario broke off: ${error instanceof Error ? error.stack : error}`);
    }
  }
  if (interrupted.signal.aborted) print("interrupted");
  if (broken.length > 0) print(`broke off: ${broken.join(", ")}`);
  print(`\n${summaryLines(results).join("\n")}`);
  if (interrupted.signal.aborted || broken.length > 0) return 1;
  if (values.write) writePage(results);
  return results.some(({ violations }) => violations.length > 0) ? 1 : 0;
}

function report({ violations, documented, findings, origin, scenario }: Result, show: number): void {
  for (const violation of mixed(violations).slice(0, show)) print(describeViolation(violation, origin));
  if (violations.length > show) print(`… and ${violations.length - show} more`);
  if (documented.length > 0) print(`documented, ${byKind(documented)}: ${scenario.documented!.why}`);
  const counts = violations.length > 0 ? `: ${byKind(violations)}` : "";
  print(`${counted(findings.operations, "operation")}, ${counted(violations.length, "violation")}${counts}`);
}

/** Times are milliseconds since the clients began. */
function linesOf({ history, origin }: Result): string {
  const lines = history.map(({ shown, invokedAt, answeredAt, endedAt, ...rest }) => {
    const ids = shown?.ids && { ids: [...shown.ids] };
    const times = {
      invokedAt: invokedAt - origin,
      answeredAt: answeredAt - origin,
      ...(endedAt !== undefined && { endedAt: endedAt - origin }),
    };
    return JSON.stringify({ ...times, ...rest, ...(shown && { shown: { ...shown, ...ids } }) });
  });
  return `${lines.join("\n")}\n`;
}

/** One of each kind first, so that none hides behind another one that is frequent. */
function mixed(violations: readonly Violation[]): Violation[] {
  const firsts = [...Map.groupBy(violations, ({ kind }) => kind).values()].map(([first]) => first!);
  return [...new Set([...firsts, ...violations])];
}

/** For example `lost lease 3 (2 sessions), wrong bytes 1 (1 session)`. */
function byKind(violations: readonly Violation[]): string {
  return [...Map.groupBy(violations, ({ kind }) => kind)]
    .map(([kind, list]) => {
      const sessions = new Set(list.flatMap(({ session = [] }) => session)).size;
      return `${kind} ${list.length}${sessions > 0 ? ` (${counted(sessions, "session")})` : ""}`;
    })
    .join(", ");
}

function parsed() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: "string" },
        seed: { type: "string" },
        show: { type: "string" },
        history: { type: "string" },
        write: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

function scenarioNamed(name: string): Scenario {
  const scenario = scenarios.find((each) => each.name === name);
  return scenario ?? fail(`There is no scenario '${name}'. npm run chaos -- list prints them.`);
}

function numberOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0)
    fail(`--${flag} needs a number, not '${text}'.`);
  return value;
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function list(): string {
  const width = Math.max(...scenarios.map(({ name }) => name.length));
  return scenarios.map(({ name, what }) => `  ${name.padEnd(width)}  ${what}\n`).join("");
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
