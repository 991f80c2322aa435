/**
 * Compares two results of `npm run bench -- --json FILE`.
 * `npm run bench:compare -- OLD.json NEW.json [--all] [--fail-on-worse]`
 */
import { parseArgs } from "node:util";
import { type Change, type Comparison, compare, type Judgement } from "./comparison.ts";
import { times } from "./formats.ts";
import { readResults } from "./results.ts";
import { table } from "./statistics.ts";

const help = `npm run bench:compare -- [options] OLD.json NEW.json

Prints what is better or worse in NEW.json than in OLD.json, two results of npm run bench -- --json.

  --all             print every value, those that are noise as well
  --fail-on-worse   end with status 1 when something is worse
`;

process.exitCode = main();

function main(): number {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        all: { type: "boolean", default: false },
        "fail-on-worse": { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      process.stdout.write(help);
      return 0;
    }
    const [before, after] = positionals;
    if (before === undefined || after === undefined || positionals.length > 2) {
      throw new Error("expected two files, OLD.json and NEW.json");
    }
    const comparison = compare(readResults(before), readResults(after));
    process.stdout.write(`${reportOf(comparison, values.all)}\n`);
    const isWorse = comparison.changes.some(({ judgement }) => judgement === "worse");
    return isWorse && values["fail-on-worse"] ? 1 : 0;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n--help prints the options\n`);
    return 2;
  }
}

function reportOf(comparison: Comparison, printsAll: boolean): string {
  const { changes, drift, conditions, missing, added, goals } = comparison;
  const of = (judgement: Judgement) => changes.filter((change) => change.judgement === judgement);
  const [worse, better, noise] = [of("worse"), of("better"), of("noise")];
  const [tooFew, elsewhere] = [of("too few rounds"), of("another machine")];
  const printed = printsAll ? [worse, better, noise, tooFew, elsewhere].flat() : [...worse, ...better];
  const counts = [
    `${worse.length} worse, ${better.length} better, ${noise.length} noise`,
    ...(tooFew.length === 0 ? [] : [`${tooFew.length} of too few rounds`]),
    ...(elsewhere.length === 0 ? [] : [`${elsewhere.length} that hold on their machine only`]),
  ];
  return [
    `${counts.join(", ")}.`,
    ...listOf("The conditions differ:", conditions),
    ...(drift === undefined
      ? []
      : [`The peers took ${times(drift)} times as long as before: that is the machine.`]),
    ...(printed.length === 0 ? [] : [tableOf(printed)]),
    ...listOf("Only in OLD.json:", missing),
    ...listOf("Only in NEW.json:", added),
    ...listOf("Goals:", goals),
  ].join("\n\n");
}

function listOf(head: string, entries: readonly string[]): string[] {
  return entries.length === 0 ? [] : [[head, ...entries.map((entry) => `- ${entry}`)].join("\n")];
}

function tableOf(changes: readonly Change[]): string {
  const header = ["", "study", "row", "value", "old", "new", "new / old"];
  const rows = changes.map(({ judgement, study, row, metric, unit, peer, before, after, ratio }) => [
    judgement,
    study,
    row,
    peer === undefined ? `${metric}, ${unit}` : `${metric} against ${peer}`,
    significant(before),
    significant(after),
    ratio === undefined ? "" : times(ratio),
  ]);
  return table(header, rows);
}

function significant(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
