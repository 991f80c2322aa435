/** A Redis Cluster of three masters and three replicas of the service, with more and more sessions. */
import { join } from "node:path";
import { eventually } from "../../test/support/eventually.ts";
import { startContender } from "../contender-process.ts";
import { downleaseServing } from "../contenders.ts";
import { type BenchLibrary, createLibrary } from "../downloads/library.ts";
import type { Figures, Round } from "../figures.ts";
import { count } from "../formats.ts";
import { type Goal, ratioGoal, valueGoal } from "../goals.ts";
import { SlowDownloads } from "../scale/downloads.ts";
import { type HeartbeatLoad, type HeartbeatRound, sendHeartbeats } from "../scale/heartbeats.ts";
import { openWatch, readCensus, walkPages } from "../scale/operators.ts";
import { Replicas } from "../scale/replicas.ts";
import { SessionCluster } from "../scale/store.ts";
import { latencyTable, operatorsTable, rowOf, sizeTable } from "../scale/tables.ts";
import { median } from "../statistics.ts";
import type { Bench, Study, Table } from "../study.ts";

const masters = 3;
const replicaCount = 3;
const warmUpSeconds = 0.4;
/** Until all downloads have begun again. */
const downloadWarmUpSeconds = 1.5;
/** Rounds until the code of the service is compiled. */
const warmUps = 2;
const patience = { withinMs: 40_000, everyMs: 100 };

interface Extent {
  readonly counts: readonly number[];
  /** Heartbeats a second, over all replicas: about half of what the machine can do. */
  readonly rate: number;
  readonly downloads: number;
  readonly downloadBytesPerSecond: number;
}

const extent: Extent = {
  counts: [10_000, 100_000, 1_000_000],
  rate: 3_000,
  downloads: 200,
  downloadBytesPerSecond: 2 ** 20,
};
const quickExtent: Extent = { ...extent, counts: [500, 5_000], rate: 600, downloads: 20 };

/** What happens beside the heartbeats. */
const alone = "heartbeats alone";
const besides = {
  downloads: "200 downloads of 1 MiB/s on average",
  elsewhere: "the same downloads from another process",
  watch: "a watch of all sessions",
  everything: "downloads, the watch and pages of ListSessions",
} as const;
/** Of the heartbeats alone, at the replica that takes the census. */
const census = "the census";

const labels: Readonly<Record<string, string>> = {
  [alone]: alone,
  [census]: "… at the replica that takes the census",
};

type Condition = typeof alone | (typeof besides)[keyof typeof besides];

const [smallest, largest] = ["fewest sessions", "most sessions"] as const;

export const scaleStudy: Study = {
  name: "scale",
  description: "a million sessions on a Redis Cluster with three replicas of the service",
  budgetSeconds: 122,
  tables: ["scale", "scale-operators", "scale-latency"],
  goals: goals(),
  async run(bench) {
    const sizes = bench.options.isQuick ? quickExtent : extent;
    const library = await createLibrary(join(bench.directory, "scale"), 2 ** 26);
    await using store = await SessionCluster.start(masters);
    const { bytes: emptyBytes } = await store.usage();
    await using replicas = await Replicas.start(replicaCount, store.url, library.root, bench.directory);
    const run = new ScaleRun(bench, sizes, store, replicas, emptyBytes);
    for (const sessions of sizes.counts) await run.measureAt(sessions);
    const latency = await run.measureBeside(library);
    return { tables: run.tables(latency), figures: { metrics, rows: run.rows } };
  },
};

const metrics: Figures["metrics"] = {
  rate: { unit: "heartbeats/s", better: "neither" },
  p50: { unit: "ms", better: "less" },
  p99: { unit: "ms", better: "less" },
  cpuMicros: { unit: "µs", better: "less" },
  redisMicros: { unit: "µs", better: "less" },
  redisBytes: { unit: "bytes", better: "less" },
  networkBytes: { unit: "bytes", better: "less" },
  sessionBytes: { unit: "bytes", better: "less" },
  replicaMiB: { unit: "MiB", better: "less" },
  connections: { unit: "connections", better: "less" },
  censusSeconds: { unit: "s", better: "less" },
  watchSeconds: { unit: "s", better: "less" },
  watchCpuSeconds: { unit: "s of CPU", better: "less" },
  ownerWatchMillis: { unit: "ms", better: "less" },
  listMicros: { unit: "µs of CPU a session", better: "less" },
};

function goals(): Goal[] {
  const against = (what: string, metric: string, target: string) =>
    ratioGoal({
      what: `1,000,000 sessions against 10,000: ${what}`,
      target,
      metric,
      row: largest,
      against: smallest,
    });
  const beside = (row: string) =>
    ratioGoal({
      what: `1,000,000 sessions: p99 of heartbeats beside ${row}, against none`,
      target: "≤ 2",
      metric: "p99",
      row,
      against: alone,
    });
  return [
    against("service CPU of a heartbeat", "cpuMicros", "≤ 1.2"),
    against("Redis CPU of a heartbeat", "redisMicros", "≤ 1.5"),
    valueGoal({
      what: "1,000,000 sessions: Redis memory of one",
      target: "< 400 bytes",
      metric: "sessionBytes",
      rows: [largest],
      digits: 0,
    }),
    valueGoal({
      what: "1,000,000 sessions: memory of a replica",
      target: "< 512 MiB",
      metric: "replicaMiB",
      rows: [largest],
      digits: 0,
      ofMaximum: true,
    }),
    beside(census),
    beside(besides.watch),
    ratioGoal({
      what: "1,000,000 sessions: p99 of heartbeats beside 200 downloads, against downloads from another process",
      target: "≤ 1.5",
      metric: "p99",
      row: besides.downloads,
      against: besides.elsewhere,
    }),
  ];
}

/** The measurements of one run of the study. */
class ScaleRun {
  readonly rows: { readonly name: string; readonly peer?: string; readonly rounds: Round[] }[] = [];
  readonly #bench: Bench;
  readonly #extent: Extent;
  readonly #store: SessionCluster;
  readonly #replicas: Replicas;
  readonly #emptyBytes: number;
  readonly #load: HeartbeatLoad;

  constructor(bench: Bench, sizes: Extent, store: SessionCluster, replicas: Replicas, emptyBytes: number) {
    this.#bench = bench;
    this.#extent = sizes;
    this.#store = store;
    this.#replicas = replicas;
    this.#emptyBytes = emptyBytes;
    this.#load = { rate: sizes.rate, seconds: bench.options.seconds, warmUpSeconds };
  }

  /** Heartbeats and the work of operators with so many sessions. */
  async measureAt(sessions: number): Promise<void> {
    const begunAt = Date.now();
    await this.#store.fill(sessions);
    const filledAt = Date.now();
    this.#bench.log(`scale: ${count(sessions)} sessions after ${filledAt - begunAt} ms`);
    const { bytes, connections } = await this.#store.usage();
    const sessionBytes = (bytes - this.#emptyBytes) / sessions;
    const isFirst = this.rows.length === 0;
    for (let n = 0; isFirst && n < warmUps; n++) await this.#heartbeats("warm-up");
    const rounds: Round[] = [];
    const heartbeats = Math.min(3, this.#bench.options.rounds);
    for (let n = 0; n < heartbeats; n++) rounds.push(roundOf(await this.#heartbeats(rowOf(sessions))));
    const once = { sessionBytes, connections, ...(await this.#operators()) };
    const replicaMiB = Math.max(...this.#replicas.memory()) / 2 ** 20;
    const censusSeconds = await this.#censusSeconds(sessions, filledAt);
    const all = { ...once, replicaMiB, ...(censusSeconds !== undefined && { censusSeconds }) };
    this.rows.push({ name: this.#nameOf(sessions), rounds: rounds.map((round) => ({ ...round, ...all })) });
  }

  /** Latencies beside other work, with the sessions that there are. */
  async measureBeside(library: BenchLibrary): Promise<ReadonlyMap<string, HeartbeatRound[]>> {
    const measured = new Map<string, HeartbeatRound[]>([alone, census].map((name) => [name, []]));
    const { ports, headers } = this.#replicas;
    const { downloads: number, downloadBytesPerSecond: rate } = this.#extent;
    // The share of the machine that downloads take, without their share of the replicas.
    const flags = ["--sqlite-path", join(this.#bench.directory, "elsewhere.db"), "--admin-listen", "off"];
    const elsewhere = await startContender(downleaseServing(library.root, ...flags), this.#store.url);
    const ours = await SlowDownloads.start(number, ports, library, headers, rate);
    const theirs = await SlowDownloads.start(number, [elsewhere.port], library, [], rate);
    const measure = async (condition: Condition) => {
      ours.isPaused = condition !== besides.downloads && condition !== besides.everything;
      theirs.isPaused = condition !== besides.elsewhere;
      const before = [ours.bytes, theirs.bytes];
      const round = await this.#beside(condition);
      for (const [index, { isPaused, bytes }] of [ours, theirs].entries()) {
        if (!isPaused && bytes === before[index]) throw new Error("nothing was downloaded");
      }
      measured.set(condition, [...(measured.get(condition) ?? []), round.others]);
      if (condition === alone) measured.get(census)!.push(round.taker);
    };
    const inTurn = async (rounds: number, conditions: readonly Condition[]) => {
      for (let n = 0; n < rounds; n++) {
        for (const each of n % 2 === 0 ? conditions : conditions.toReversed()) await measure(each);
      }
    };
    const { rounds } = this.#bench.options;
    const withoutWatch: readonly Condition[] = [alone, besides.downloads, besides.elsewhere];
    await inTurn(Math.floor(rounds / 2), withoutWatch);
    const watch = await openWatch(ports[1]!, headers);
    await eventually("the snapshot", () => watch.snapshotMs ?? watch.ended, patience);
    await inTurn(Math.floor(rounds / 2), [besides.watch, besides.everything]);
    if (watch.ended !== undefined) throw new Error(`the watch has ended: ${watch.ended}`);
    watch.close();
    await inTurn(Math.floor(rounds / 2), withoutWatch);
    const replicaMiB = Math.max(...this.#replicas.memory()) / 2 ** 20;
    await this.#expectBytes(ours);
    await Promise.all([ours.stop(), theirs.stop()]);
    await elsewhere.stop();
    for (const [name, some] of measured) {
      const rows = some.map((round) => ({ ...roundOf(round), replicaMiB }));
      this.rows.push({ name, ...(name !== alone && { peer: alone }), rounds: rows });
    }
    return measured;
  }

  tables(latency: ReadonlyMap<string, readonly HeartbeatRound[]>): Table[] {
    const { counts } = this.#extent;
    return [sizeTable(this.rows, counts), operatorsTable(this.rows, counts), latencyTable(latency, labels)];
  }

  #nameOf(sessions: number): string {
    const { counts } = this.#extent;
    if (sessions === counts[0]) return smallest;
    return sessions === counts.at(-1) ? largest : rowOf(sessions);
  }

  async #heartbeats(what: string, load = this.#load): Promise<HeartbeatRound> {
    const round = await sendHeartbeats(this.#store, this.#replicas, load);
    const { rate, p50, p99, cpuMicros, redisMicros } = round;
    this.#bench.log(
      `scale: ${what}: ${count(rate)}/s, p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ` +
        `${cpuMicros.toFixed(0)} µs, Redis ${redisMicros.toFixed(0)} µs`,
    );
    return round;
  }

  /** A round at the replica that takes the census, and at the worst of the others. */
  async #beside(condition: Condition) {
    const { ports, headers } = this.#replicas;
    let isOver = false;
    const pages =
      condition === besides.everything ? walkPages(ports[2]!, headers, () => isOver) : Promise.resolve(0);
    const isQuiet = condition === alone || condition === besides.watch;
    const load = isQuiet ? this.#load : { ...this.#load, warmUpSeconds: downloadWarmUpSeconds };
    const round = await this.#heartbeats(condition, load);
    isOver = true;
    await pages;
    const { taker } = await readCensus(this.#store, ports);
    const others = round.p99s.filter((_, index) => index !== taker);
    return {
      taker: { ...round, p99: round.p99s[taker] ?? round.p99 },
      others: { ...round, p99: median(others) },
    };
  }

  /** What operators' calls take and cost. */
  async #operators(): Promise<Round> {
    const { ports, headers, cpuNanos } = this.#replicas;
    const watching = async (filter?: { readonly owner: string }) => {
      const before = cpuNanos()[1]!;
      const watch = await openWatch(ports[1]!, headers, filter);
      await eventually("the snapshot", () => watch.snapshotMs ?? watch.ended, patience);
      watch.close();
      if (filter !== undefined && watch.isTruncated) throw new Error("an owner's sessions are not complete");
      return { millis: watch.snapshotMs ?? Number.NaN, cpuSeconds: (cpuNanos()[1]! - before) / 1e9 };
    };
    const owner = await watching({ owner: "owner-0" });
    const all = await watching();
    const before = cpuNanos()[2]!;
    let isOver = false;
    setTimeout(() => {
      isOver = true;
    }, 3_000);
    const listed = await walkPages(ports[2]!, headers, () => isOver);
    return {
      ownerWatchMillis: owner.millis,
      watchSeconds: all.millis / 1000,
      watchCpuSeconds: all.cpuSeconds,
      listMicros: (cpuNanos()[2]! - before) / 1e3 / listed,
    };
  }

  /** How long a census takes; of many sessions none is waited for. */
  async #censusSeconds(sessions: number, filledAt: number): Promise<number | undefined> {
    if (sessions > maxCounted) return undefined;
    const { ports } = this.#replicas;
    const found = await eventually(
      "a census of all sessions",
      async () => {
        const { census: latest } = await readCensus(this.#store, ports);
        return latest !== undefined && latest.startedAt > filledAt ? latest : undefined;
      },
      patience,
    );
    if (found.states.ACTIVE < sessions) throw new Error(`the census has ${found.states.ACTIVE} sessions`);
    return (found.endedAt - found.startedAt) / 1000;
  }

  /** @throws Error unless downloads went on, and have renewed their leases */
  async #expectBytes({ sessionIds, failures }: SlowDownloads): Promise<void> {
    if (failures > 0) throw new Error(`${failures} downloads failed`);
    for (const id of sessionIds) {
      const sent = Number(await this.#store.field(id, "t"));
      if (!(sent > 0)) throw new Error("the bytes of a download are not recorded");
    }
  }
}

const maxCounted = 100_000;

function roundOf({
  rate,
  p50,
  p99,
  cpuMicros,
  redisMicros,
  redisBytes,
  networkBytes,
}: HeartbeatRound): Round {
  return { rate, p50, p99, cpuMicros, redisMicros, redisBytes, networkBytes };
}
