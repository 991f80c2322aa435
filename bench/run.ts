/** `npm run bench`: measures everything, prints it, and writes it to docs/performance.md. `--help` prints the options. */
import { parseArgs } from "node:util";
import { Redis } from "ioredis";
import { provide } from "../test/support/executables.ts";
import { startRedis } from "../test/support/redis-server.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { goalsOf } from "./goals.ts";
import { conditionsOf, markdown, writeChart, writePage } from "./report.ts";
import { createSessions } from "./sessions-in-redis.ts";
import { studies } from "./studies/studies.ts";
import type { Bench, BenchOptions, Table } from "./study.ts";

const sessionCount = 1000;

const help = `npm run bench -- [options]

  --only <names>       studies to run: ${studies.map(({ name }) => name).join(", ")}
  --rounds <number>    rounds of each measurement (5)
  --seconds <number>   seconds of each measurement (2)
  --callers <number>   callers of a closed loop (200)
  --quick              short rounds and few sessions, to check that the benchmark works
  --write, --no-write  whether to write the tables to docs/performance.md and, if all studies ran, also its chart,
                       goals and conditions (default: yes when none of the options above is given)
`;

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    callers: { type: "string" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean" },
    help: { type: "boolean", default: false },
  },
  allowNegative: true,
});

if (values.help) process.stdout.write(help);
else await main();

async function main(): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
  const chosen = chosenStudies(values.only);
  const options = optionsFrom(values);
  const isStandard =
    !values.quick &&
    [values.only, values.rounds, values.seconds, values.callers].every((value) => value === undefined);
  provide(chosen.flatMap(({ needs = [] }) => needs));
  await using directory = await tempDir();
  await using redis = await startRedis();
  const sessionIds = Array.from({ length: sessionCount }, () => crypto.randomUUID());
  await createSessions(redis.url, sessionIds);
  const bench: Bench = {
    options,
    redis,
    sessionIds,
    directory: directory.path,
    results: { throughput: new Map(), overload: new Map(), downloads: new Map(), idle: new Map() },
    log: (text) => void process.stderr.write(`${text}\n`),
  };
  const tables: Table[] = [];
  for (const study of chosen) tables.push(...(await study.run(bench)));
  const conditions = conditionsOf(bench, await redisVersion(redis.url));
  const goals = goalsOf(bench.results);
  for (const table of [conditions, ...tables, goals]) process.stdout.write(`${markdown(table)}\n\n`);
  if (values.write ?? isStandard) {
    const isWhole = chosen.length === studies.length;
    writePage(isWhole ? [conditions, ...tables, goals] : tables);
    if (isWhole) writeChart(bench);
  }
}

function chosenStudies(only: string | undefined) {
  if (only === undefined) return studies;
  const names = only.split(",");
  const unknown = names.filter((name) => !studies.some((study) => study.name === name));
  if (unknown.length > 0) throw new Error(`no study ${unknown.join(", ")}\n\n${help}`);
  return studies.filter(({ name }) => names.includes(name));
}

function optionsFrom({ quick, rounds, seconds, callers }: typeof values): BenchOptions {
  const number = (name: string, text: string | undefined, otherwise: number) => {
    const value = text === undefined ? otherwise : Number(text);
    if (!(value > 0)) throw new Error(`--${name} must be a number greater than 0`);
    return value;
  };
  return {
    rounds: Math.ceil(number("rounds", rounds, quick ? 2 : 5)),
    seconds: number("seconds", seconds, quick ? 0.25 : 2),
    callers: Math.ceil(number("callers", callers, 200)),
    warmUpSeconds: quick ? 0.3 : 3,
    downloadBytes: quick ? 2 ** 26 : 2 ** 30,
    idle: quick
      ? { sessions: 500, settleSeconds: 1, seconds: 1 }
      : { sessions: 10_000, settleSeconds: 30, seconds: 20 },
    sessionCounts: quick ? [100, 10_000] : [100, 100_000, 1_000_000],
  };
}

async function redisVersion(url: string): Promise<string> {
  const client = new Redis(url);
  try {
    return /^redis_version:(\S+)/m.exec(await client.info("server"))?.[1] ?? "unknown";
  } finally {
    client.disconnect();
  }
}
