/** CPU time that ACTIVE sessions with prepared links cost an idle process. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startRedis } from "../../test/support/redis-server.ts";
import { type RunningContender, startContender } from "../contender-process.ts";
import { downleaseServing } from "../contenders.ts";
import { type BenchLibrary, createLibrary, preparedLink } from "../downloads/library.ts";
import { type Figures, valuesOf } from "../figures.ts";
import { count } from "../formats.ts";
import type { Goal } from "../goals.ts";
import { cpuNanosOfTree } from "../process-figures.ts";
import { spread } from "../statistics.ts";
import type { Bench, Study } from "../study.ts";

const creators = 50;

interface Extent {
  readonly sessions: number;
  /** Pause before the measurement: V8 collects the garbage of creating sessions some seconds after the last one. */
  readonly settleSeconds: number;
  /** Length of the measurement. */
  readonly seconds: number;
}

const extent: Extent = { sessions: 10_000, settleSeconds: 30, seconds: 20 };
const quickExtent: Extent = { sessions: 500, settleSeconds: 1, seconds: 1 };

const storeNames = ["Redis", "SQLite"] as const;
type StoreName = (typeof storeNames)[number];

/** CPU time of idle processes, in milliseconds per second. */
type IdleRound = {
  readonly without: number;
  readonly withSessions: number;
  /** CPU time of Redis beside the process with sessions; not there for another store. */
  readonly redis?: number;
};

export const idleSessionsStudy: Study = {
  name: "idle-sessions",
  description: "CPU time that sessions without calls cost an idle process",
  budgetSeconds: 130,
  tables: ["idle-sessions"],
  goals: storeNames.map((store) => idleGoal(store, "< 0.1 %")),
  async run(bench) {
    const library = await createLibrary(join(bench.directory, "idle"), 2 ** 20);
    const { sessions, seconds } = extentOf(bench);
    const measured: (readonly [StoreName, IdleRound])[] = [];
    for (const store of storeNames) measured.push([store, await study(store, library, bench)]);
    const table = {
      name: "idle-sessions",
      title: `CPU time of an idle process, over ${seconds} s`,
      header: ["", "without sessions", `with ${count(sessions)}`, "Redis with them"],
      rows: measured.map(([store, { without, withSessions, redis }]) => [
        store,
        millisPerSecond(without),
        millisPerSecond(withSessions),
        redis === undefined ? "" : millisPerSecond(redis),
      ]),
    };
    const figures: Figures = { metrics, rows: measured.map(([name, round]) => ({ name, rounds: [round] })) };
    return { tables: [table], figures };
  },
};

const unit = "ms of CPU a second";
const metrics: Figures["metrics"] = {
  without: { unit, better: "less" },
  withSessions: { unit, better: "less" },
  redis: { unit, better: "less" },
};

const extentOf = ({ options }: Bench) => (options.isQuick ? quickExtent : extent);

function idleGoal(store: StoreName, target: string): Goal {
  return {
    what: `idle sessions in ${store}: CPU of a process with them beyond one without, of a core`,
    target,
    measure(figures) {
      const without = valuesOf(figures, store, "without");
      const beyond = spread(
        valuesOf(figures, store, "withSessions").map((millis, round) => (millis - without[round]!) / 10),
      );
      return { ...beyond, text: `${beyond.median.toFixed(2)} %` };
    },
  };
}

const millisPerSecond = (millis: number) => `${millis.toFixed(2)} ms/s`;

/** Measures two processes, one with sessions, at the same time. */
async function study(store: StoreName, library: BenchLibrary, bench: Bench): Promise<IdleRound> {
  const { sessions, settleSeconds, seconds } = extentOf(bench);
  const servers: RunningContender[] = [];
  // Not the Redis of the run, whose other sessions end meanwhile.
  await using redis = await startRedis();
  await using otherRedis = await startRedis();
  const start = async (redisUrl: string, sqlitePath: string) => {
    const flags = ["--lease-seconds", "3600"];
    if (store === "SQLite") flags.push("--sqlite-path", join(bench.directory, sqlitePath));
    const contender = downleaseServing(library.root, ...flags);
    const server = await startContender(contender, redisUrl);
    servers.push(server);
    return server;
  };
  try {
    const full = await start(redis.url, "idle-full.db");
    const empty = await start(otherRedis.url, "idle-empty.db");
    bench.log(`idle-sessions: ${count(sessions)} in ${store}`);
    const paths = await createSessions(full.port, sessions);
    await delay(settleSeconds * 1000);
    const cpuTimes = () => [full.pid, empty.pid, redis.pid].map(cpuNanosOfTree);
    const before = cpuTimes();
    await delay(seconds * 1000);
    const after = cpuTimes();
    await expectLink(full.port, paths[0]!, library);
    await expectLink(full.port, paths.at(-1)!, library);
    const [withSessions, without, inRedis] = after.map(
      (nanos, index) => (nanos - before[index]!) / 1e6 / seconds,
    );
    return { withSessions: withSessions!, without: without!, ...(store === "Redis" && { redis: inRedis! }) };
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** Returns the paths of their links. */
async function createSessions(port: number, sessions: number): Promise<string[]> {
  const paths: string[] = [];
  let left = sessions;
  const create = async () => {
    while (left-- > 0) paths.push((await preparedLink(port)).path);
  };
  await Promise.all(Array.from({ length: creators }, create));
  return paths;
}

/** @throws Error when a link does not work: a session that has ended costs nothing */
async function expectLink(port: number, path: string, library: BenchLibrary): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  const { byteLength } = await response.arrayBuffer();
  if (byteLength !== library.bytes) throw new Error(`a link failed with status ${response.status}`);
}
