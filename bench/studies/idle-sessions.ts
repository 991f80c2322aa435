/** CPU time that ACTIVE sessions with prepared links cost an idle process. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startRedis } from "../../test/support/redis-server.ts";
import { type RunningContender, startContender } from "../contender-process.ts";
import { downleaseServing } from "../contenders.ts";
import { type BenchLibrary, createLibrary, preparedLink } from "../downloads/library.ts";
import { type FigureRow, type Figures, spreadOf, valuesOf } from "../figures.ts";
import { count, withUnit } from "../formats.ts";
import type { Goal } from "../goals.ts";
import { cpuNanosOfTree } from "../process-figures.ts";
import { spread } from "../statistics.ts";
import type { Bench, Study } from "../study.ts";

const creators = 50;

interface Extent {
  readonly sessions: number;
  /** Pause before the measurement: V8 collects the garbage of creating sessions some seconds after the last one. */
  readonly settleSeconds: number;
  /** Length of a round. */
  readonly seconds: number;
  readonly rounds: number;
}

const extent: Extent = { sessions: 10_000, settleSeconds: 15, seconds: 3, rounds: 5 };
const quickExtent: Extent = { sessions: 100, settleSeconds: 0.1, seconds: 0.5, rounds: 1 };

const storeNames = ["Redis", "SQLite"] as const;
type StoreName = (typeof storeNames)[number];

/** In milliseconds per second. */
type IdleRound = { readonly cpu: number };

const metrics: Figures["metrics"] = { cpu: { unit: "ms of CPU a second", better: "less" } };

const withoutSessions = (store: StoreName) => `${store}, without sessions`;
const withSessions = (store: StoreName) => `${store}, with sessions`;
const redisWithThem = "Redis itself, with them";

export const idleSessionsStudy: Study = {
  name: "idle-sessions",
  description: "CPU time that sessions without calls cost an idle process",
  budgetSeconds: 54,
  tables: ["idle-sessions"],
  goals: storeNames.map((store) => idleGoal(store, "< 0.1 %")),
  async run(bench) {
    const library = await createLibrary(join(bench.directory, "idle"), 2 ** 20);
    const { sessions, seconds, rounds } = extentOf(bench);
    const figures: Figures = { metrics, rows: await study(library, bench) };
    const cell = (row: string) => `${spreadOf(figures, row, "cpu").median.toFixed(2)} ms/s`;
    const table = {
      name: "idle-sessions",
      title: `CPU time of an idle process, over ${rounds} × ${seconds} s`,
      header: ["", "without sessions", `with ${count(sessions)}`, "Redis with them"],
      rows: storeNames.map((store) => [
        store,
        cell(withoutSessions(store)),
        cell(withSessions(store)),
        store === "Redis" ? cell(redisWithThem) : "",
      ]),
    };
    return { tables: [table], figures };
  },
};

const extentOf = ({ options }: Bench) => (options.isQuick ? quickExtent : extent);

function idleGoal(store: StoreName, target: string): Goal {
  return {
    what: `idle sessions in ${store}: CPU of a process with them beyond one without, of a core`,
    target,
    measure(figures) {
      const without = valuesOf(figures, withoutSessions(store), "cpu");
      const beyond = spread(
        valuesOf(figures, withSessions(store), "cpu").map((millis, round) => (millis - without[round]!) / 10),
      );
      return { ...beyond, text: withUnit(beyond, "%", 2) };
    },
  };
}

/** Measures two processes of each store, one of them with sessions, all at the same time. */
async function study(library: BenchLibrary, bench: Bench): Promise<FigureRow[]> {
  const { sessions, settleSeconds, seconds, rounds } = extentOf(bench);
  const servers: RunningContender[] = [];
  // Not the Redis of the run, whose other sessions end meanwhile.
  await using redis = await startRedis();
  await using otherRedis = await startRedis();
  const start = async (redisUrl: string, ...flags: string[]) => {
    const contender = downleaseServing(library.root, "--lease-seconds", "3600", ...flags);
    const server = await startContender(contender, redisUrl);
    servers.push(server);
    return server;
  };
  const database = (name: string) => ["--sqlite-path", join(bench.directory, name)];
  try {
    const full = await start(redis.url);
    const fullSqlite = await start(redis.url, ...database("idle-full.db"));
    const pids = new Map([
      [withoutSessions("Redis"), (await start(otherRedis.url)).pid],
      [withSessions("Redis"), full.pid],
      [redisWithThem, redis.pid],
      [withoutSessions("SQLite"), (await start(otherRedis.url, ...database("idle-empty.db"))).pid],
      [withSessions("SQLite"), fullSqlite.pid],
    ]);
    bench.log(`idle-sessions: creating ${count(sessions)} in each store`);
    const links = await Promise.all([full, fullSqlite].map(({ port }) => createSessions(port, sessions)));
    await delay(settleSeconds * 1000);
    const measured = [...pids.keys()].map((): IdleRound[] => []);
    for (let round = 1; round <= rounds; round++) {
      const before = [...pids.values()].map(cpuNanosOfTree);
      await delay(seconds * 1000);
      const after = [...pids.values()].map(cpuNanosOfTree);
      for (const [index, nanos] of after.entries()) {
        measured[index]!.push({ cpu: (nanos - before[index]!) / 1e6 / seconds });
      }
    }
    for (const [index, { port }] of [full, fullSqlite].entries()) {
      await expectLink(port, links[index]![0]!, library);
      await expectLink(port, links[index]!.at(-1)!, library);
    }
    return [...pids.keys()].map((name, index) => ({ name, rounds: measured[index]! }));
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
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
