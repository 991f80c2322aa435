/** `npm run bench`: measures everything, prints it, and writes it to docs/performance.md. `--help` prints the options. */
import { Redis } from "ioredis";
import { startRedis } from "../test/support/redis-server.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { collectOnOneThread } from "./collections.ts";
import { type CommandLine, help, readCommandLine } from "./command-line.ts";
import { NeedMissing, refuseBuilds } from "./needs.ts";
import { conditionsTableOf, goalsOf, markdown, tablesOf, writeChart, writePage } from "./report.ts";
import { conditionsOf, resultsFile, resultsOf, writeResults } from "./results.ts";
import { runStudies } from "./run-studies.ts";
import { createSessions } from "./sessions-in-redis.ts";
import type { Bench } from "./study.ts";

const sessionCount = 1000;

collectOnOneThread();
const commandLine = parsed();
if (commandLine === "help") process.stdout.write(help());
else if (commandLine !== undefined) await main(commandLine).catch(failUnlessExplained);

/** Undefined when the command line is wrong. */
function parsed(): ReturnType<typeof readCommandLine> | undefined {
  try {
    return readCommandLine(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n--help prints the options\n`);
    process.exitCode = 2;
    return undefined;
  }
}

function failUnlessExplained(error: unknown): void {
  if (!(error instanceof NeedMissing)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

async function main({
  options,
  studies,
  isNamed,
  isWhole,
  writes,
  builds,
  json,
}: CommandLine): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
  if (!builds) refuseBuilds();
  await using directory = await tempDir();
  await using redis = await startRedis();
  const sessionIds = Array.from({ length: sessionCount }, () => crypto.randomUUID());
  await createSessions(redis.url, sessionIds);
  const log = (text: string) => void process.stderr.write(`${text}\n`);
  const bench: Bench = { options, redis, sessionIds, directory: directory.path, log };
  const conditions = conditionsOf(bench, await redisVersion(redis.url));
  const runs = await runStudies(studies, bench, { skipsMissing: !isNamed });
  const heads = conditionsTableOf(conditions);
  const goals = goalsOf(runs);
  const measured = runs.flatMap(({ result }) => result?.tables ?? []);
  for (const table of [heads, ...measured, goals]) process.stdout.write(`${markdown(table)}\n\n`);
  for (const { study, missing } of runs) {
    if (missing !== undefined) process.stdout.write(`${study.name}: not measured: needs ${missing}\n`);
  }
  const results = resultsOf(runs, conditions);
  if (json !== undefined) writeResults(json, results);
  const failed = runs.filter(({ failure }) => failure !== undefined).map(({ study }) => study.name);
  if (failed.length > 0) {
    process.stderr.write(
      `failed: ${failed.join(", ")}${writes ? "; docs/performance.md stays as it is" : ""}\n`,
    );
    process.exitCode = 1;
  } else if (writes) {
    const tables = runs.flatMap(tablesOf);
    writePage(isWhole ? [heads, ...tables, goals] : tables);
    if (isWhole) {
      writeChart(runs, options);
      writeResults(resultsFile, results);
    }
  }
}

async function redisVersion(url: string): Promise<string> {
  const client = new Redis(url);
  try {
    return /^redis_version:(\S+)/m.exec(await client.info("server"))?.[1] ?? "unknown";
  } finally {
    client.disconnect();
  }
}
