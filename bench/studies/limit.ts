/** The limit that Redis sets: `redis-benchmark` with the same script on as many sessions. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { keepAliveScript } from "../../src/stores/redis/session-scripts.ts";
import { progress } from "../drivers/driver.ts";
import { type Figures, spreadOf } from "../figures.ts";
import { count, range } from "../formats.ts";
import { cpuSecondsOf } from "../process-figures.ts";
import { inRounds } from "../rounds.ts";
import { createSessions, leaseMs, owner } from "../sessions-in-redis.ts";
import type { Study } from "../study.ts";

const run = promisify(execFile);

const sessionCount = 1000;
/** redis-benchmark replaces it with a number of 12 digits. */
const anySession = "dl:{__rand_int__}";

/** To find out how many calls take as long as a measurement. */
const trialCalls = 20_000;

const pipelines = [
  { depth: 1, label: "one command at a time on a connection" },
  { depth: 16, label: "16 commands at a time on a connection" },
] as const;

export const limitStudy: Study = {
  name: "limit",
  description: "the limit that Redis sets: redis-benchmark with the script of a keep-alive",
  budgetSeconds: 14,
  tables: ["limit"],
  goals: [],
  async run({ options, redis, log }) {
    const ids = Array.from({ length: sessionCount }, (_, index) => String(index).padStart(12, "0"));
    await createSessions(redis.url, ids);
    await prepareScript(redis.url, ids[0]!);
    // redis-benchmark takes a number of calls, not a time.
    const estimates = new Map<number, number>();
    for (const { depth } of pipelines) {
      estimates.set(depth, await benchmark(redis.port, options.callers, depth, trialCalls));
    }
    const measured = await inRounds(pipelines, options.rounds, async ({ depth, label }, round) => {
      const calls = Math.round(options.seconds * estimates.get(depth)!);
      const before = cpuSecondsOf(redis.pid);
      const rate = await benchmark(redis.port, options.callers, depth, calls);
      log(`limit ${round}/${options.rounds} ${label}: ${count(rate)}/s`);
      return { rate, redisMicros: ((cpuSecondsOf(redis.pid) - before) * 1e6) / calls };
    });
    const figures: Figures = {
      metrics: {
        rate: { unit: "calls/s", better: "more" },
        redisMicros: { unit: "µs of Redis' CPU", better: "less" },
      },
      rows: pipelines.map(({ label }, index) => ({ name: label, rounds: measured[index]! })),
    };
    const table = {
      name: "limit",
      title: `redis-benchmark, ${options.callers} connections`,
      header: ["", "calls/s", "spread", "Redis CPU µs"],
      rows: pipelines.map(({ label }) => {
        const rate = spreadOf(figures, label, "rate");
        return [
          label,
          count(rate.median),
          range(rate),
          spreadOf(figures, label, "redisMicros").median.toFixed(1),
        ];
      }),
    };
    return { tables: [table], figures };
  },
};

/** Checks the script once, because redis-benchmark counts every reply of Redis. */
async function prepareScript(redisUrl: string, id: string): Promise<void> {
  const client = new Redis(redisUrl);
  try {
    await client.script("LOAD", keepAliveScript.text);
    const reply = await client.evalsha(keepAliveScript.sha1, 1, `dl:{${id}}`, owner, leaseMs, progress);
    if (!String(reply).startsWith("OK ")) throw new Error(`the script answers ${reply}`);
  } finally {
    client.disconnect();
  }
}

async function benchmark(port: number, connections: number, depth: number, calls: number): Promise<number> {
  const numbers = { "-p": port, "-c": connections, "-P": depth, "-n": calls, "-r": sessionCount };
  const options = Object.entries(numbers).flatMap(([flag, value]) => [flag, String(value)]);
  const script = ["EVALSHA", keepAliveScript.sha1, "1", anySession, owner, String(leaseMs), String(progress)];
  const { stdout } = await run("redis-benchmark", [...options, "--csv", ...script]);
  const rate = Number(/^"EVALSHA[^\n]*?","([\d.]+)"/m.exec(stdout)?.[1]);
  if (!(rate > 0)) throw new Error(`redis-benchmark reports no rate: ${stdout}`);
  return rate;
}
