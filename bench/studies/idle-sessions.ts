/** CPU time that ACTIVE sessions with prepared links cost an idle process. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startRedis } from "../../test/support/redis-server.ts";
import { type RunningContender, startContender } from "../contender-process.ts";
import { downleaseServing } from "../contenders.ts";
import { type BenchLibrary, createLibrary, preparedLink } from "../downloads/library.ts";
import { count } from "../formats.ts";
import { cpuNanosOfTree } from "../process-figures.ts";
import { type IdleResult, type StoreName, storeNames } from "../results.ts";
import type { Bench, Study } from "../study.ts";

const creators = 50;

export const idleSessionsStudy: Study = {
  name: "idle-sessions",
  tables: ["idle-sessions"],
  async run(bench) {
    const library = await createLibrary(join(bench.directory, "idle"), 2 ** 20);
    for (const store of storeNames) bench.results.idle.set(store, await study(store, library, bench));
    const { sessions, seconds } = bench.options.idle;
    const { idle } = bench.results;
    return [
      {
        name: "idle-sessions",
        title: `CPU time of an idle process, over ${seconds} s`,
        header: ["", "without sessions", `with ${count(sessions)}`, "Redis with them"],
        rows: storeNames.map((store) => {
          const { without, withSessions, redis } = idle.get(store)!;
          return [
            store,
            millisPerSecond(without),
            millisPerSecond(withSessions),
            redis === undefined ? "" : millisPerSecond(redis),
          ];
        }),
      },
    ];
  },
};

const millisPerSecond = (millis: number) => `${millis.toFixed(2)} ms/s`;

/** Measures two processes, one with sessions, at the same time. */
async function study(store: StoreName, library: BenchLibrary, bench: Bench): Promise<IdleResult> {
  const { sessions, settleSeconds, seconds } = bench.options.idle;
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
    return { withSessions: withSessions!, without: without!, redis: store === "Redis" ? inRedis : undefined };
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
