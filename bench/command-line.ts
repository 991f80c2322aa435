/** The options of `npm run bench`. */
import { parseArgs } from "node:util";
import { studies } from "./studies/studies.ts";
import type { BenchOptions, Study } from "./study.ts";

export interface CommandLine {
  readonly options: BenchOptions;
  readonly studies: readonly Study[];
  /** Whether studies were named with `--only`. */
  readonly isNamed: boolean;
  /** Whether all studies run that are not extra. */
  readonly isWhole: boolean;
  readonly writes: boolean;
  /** Whether peers in other languages may be built. */
  readonly builds: boolean;
  /** File for the results. */
  readonly json?: string | undefined;
}

/** @throws Error for a person to read */
export function readCommandLine(
  args: readonly string[],
  all: readonly Study[] = studies,
): CommandLine | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      callers: { type: "string" },
      quick: { type: "boolean", default: false },
      write: { type: "boolean" },
      json: { type: "string" },
      build: { type: "boolean", default: true },
      help: { type: "boolean", default: false },
    },
    allowNegative: true,
  });
  if (values.help) return "help";
  const { only, quick, rounds, seconds, callers } = values;
  const isStandard = !quick && [only, rounds, seconds, callers].every((value) => value === undefined);
  const chosen = chosenStudies(only, all);
  return {
    options: {
      isQuick: quick,
      rounds: Math.ceil(number("rounds", rounds, quick ? 1 : 5)),
      seconds: number("seconds", seconds, quick ? 0.1 : 1),
      callers: Math.ceil(number("callers", callers, 200)),
      warmUpSeconds: quick ? 0.1 : 2,
    },
    studies: chosen,
    isNamed: only !== undefined,
    isWhole: all.every((study) => study.isExtra || chosen.includes(study)),
    writes: values.write ?? isStandard,
    builds: values.build,
    json: values.json,
  };
}

function number(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a number greater than 0`);
  return value;
}

function chosenStudies(only: string | undefined, all: readonly Study[]): readonly Study[] {
  if (only === undefined) return all.filter(({ isExtra }) => !isExtra);
  const names = only.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !all.some((study) => study.name === name));
  if (unknown.length > 0) {
    throw new Error(`no study ${unknown.join(", ")}; there are ${all.map(({ name }) => name).join(", ")}`);
  }
  return all.filter(({ name }) => names.includes(name));
}

export function help(all: readonly Study[] = studies): string {
  const width = Math.max(...all.map(({ name }) => name.length));
  const lines = all.map(
    ({ name, description, budgetSeconds, isExtra, needs = [] }) =>
      `  ${name.padEnd(width)}  ${description} (about ${budgetSeconds} s${isExtra ? ", only when named" : ""}${
        needs.length === 0 ? "" : `; needs ${needs.map((need) => need.name).join(", ")}`
      })`,
  );
  return `npm run bench -- [options]

  --only <names>       studies to run, separated by commas
  --rounds <number>    rounds of each measurement (5)
  --seconds <number>   seconds of each measurement (1)
  --callers <number>   callers of a closed loop (200)
  --quick              short rounds and few sessions, to check that the benchmark works
  --no-build           leave out peers in other languages that no run has built before
  --write, --no-write  whether to write the tables to docs/performance.md and, if all studies ran, also its chart,
                       goals and conditions, and docs/performance.json (default: yes when none of the options
                       above is given)
  --json <file>        write conditions, goals and the figures of every round to a file, which
                       npm run bench:compare -- OLD.json NEW.json reads

Studies:

${lines.join("\n")}
`;
}
