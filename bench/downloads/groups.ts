import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { FigureRow, Figures } from "../figures.ts";
import { fixed, times } from "../formats.ts";
import { cpuSecondsOfTree, peakMemoryOf, resetPeakMemory } from "../process-figures.ts";
import { inRounds } from "../rounds.ts";
import { median, ratio, spread } from "../statistics.ts";
import type { Bench, Table } from "../study.ts";
import { readHttp1 } from "./http1-reader.ts";
import { readHttp2 } from "./http2-reader.ts";
import { type BenchLibrary, createLibrary } from "./library.ts";
import type { DownloadReader, RunningRead } from "./reader.ts";
import {
  downleaseCache,
  downleaseFiles,
  downleaseFilling,
  downleaseObjects,
  type FileServer,
  type RunningFileServer,
} from "./servers.ts";

export interface DownloadGroup {
  /** Name of its table. */
  readonly name: string;
  readonly title: string;
  readonly version: 1 | 2;
  readonly parallel: number;
  /** Ratios are to the first. */
  readonly servers: readonly FileServer[];
}

/** One server in one round. */
export type DownloadRound = {
  /** GiB per second. */
  readonly rate: number;
  /** CPU seconds of the server per GiB. */
  readonly cpu: number;
  /** Peak resident memory of the server, in MiB. */
  readonly peak: number;
  /** CPU seconds of the client per GiB. */
  readonly clientCpu: number;
};

const metrics: Figures["metrics"] = {
  rate: { unit: "GiB/s", better: "more" },
  cpu: { unit: "s of server CPU a GiB", better: "less" },
  peak: { unit: "MiB", better: "less", isSteady: true },
  clientCpu: { unit: "s of client CPU a GiB", better: "neither" },
};

const readers: Readonly<Record<1 | 2, DownloadReader>> = { 1: readHttp1, 2: readHttp2 };

const ours: ReadonlySet<FileServer> = new Set([
  downleaseFiles,
  downleaseObjects,
  downleaseCache,
  downleaseFilling,
]);

/** The rounds of each server of a group. */
export type MeasuredGroups = ReadonlyMap<DownloadGroup, readonly (readonly DownloadRound[])[]>;

/** Starts the servers of all groups, checks that they send the file, and measures group after group. */
export async function measureGroups(groups: readonly DownloadGroup[], bench: Bench): Promise<MeasuredGroups> {
  const { library, digest } = await fileOf(bench);
  const running = new Map<FileServer, RunningFileServer>();
  try {
    for (const server of new Set(groups.flatMap(({ servers }) => servers))) {
      const started = await server.start({ library, redisUrl: bench.redis.url, directory: bench.directory });
      running.set(server, started);
      await expectFile(server, started, digest);
    }
    const measured = new Map<DownloadGroup, DownloadRound[][]>();
    for (const group of groups) measured.set(group, await measureGroup(group, library, running, bench));
    return measured;
  } finally {
    for (const server of running.values()) await server.stop();
  }
}

interface FileOfRun {
  readonly library: BenchLibrary;
  /** SHA-256, in hexadecimal. */
  readonly digest: string;
}

const files = new WeakMap<Bench, Promise<FileOfRun>>();

/** All studies of a run download the same file. */
function fileOf(bench: Bench): Promise<FileOfRun> {
  const existing = files.get(bench);
  if (existing !== undefined) return existing;
  bench.log("writing the file");
  const created = createLibrary(bench.directory, bench.options.isQuick ? 2 ** 24 : 2 ** 30).then(
    async (library) => ({
      library,
      digest: await digestOf(createReadStream(join(library.root, library.path))),
    }),
  );
  files.set(bench, created);
  return created;
}

export function figuresOf(measured: MeasuredGroups): Figures {
  return { metrics, rows: [...measured].flatMap(([group, rounds]) => figureRows(group, rounds)) };
}

/** @param labels of the servers */
export function tableAgainstFirst(
  { name, title }: DownloadGroup,
  measured: readonly (readonly DownloadRound[])[],
  labels: readonly string[],
): Table {
  const pick = (rounds: readonly DownloadRound[], key: keyof DownloadRound) =>
    rounds.map((round) => round[key]);
  return {
    name,
    title,
    header: ["", "GiB/s", "spread", "server CPU s/GiB", "peak memory MiB", "rate ratio", "CPU ratio"],
    rows: labels.map((label, index) => {
      const rounds = measured[index]!;
      const against = (key: keyof DownloadRound) => ratio(pick(rounds, key), pick(measured[0]!, key));
      return [
        label,
        median(pick(rounds, "rate")).toFixed(2),
        fixed(spread(pick(rounds, "rate"))),
        median(pick(rounds, "cpu")).toFixed(2),
        Math.max(...pick(rounds, "peak")).toFixed(0),
        times(against("rate")),
        times(against("cpu")),
      ];
    }),
  };
}

/** @throws Error when the server does not send exactly the file */
async function expectFile(server: FileServer, { port, path }: RunningFileServer, digest: string) {
  const { body } = await fetch(`http://127.0.0.1:${port}${path}`);
  if (body === null || (await digestOf(body)) !== digest) {
    throw new Error(`${server.name} does not send the file`);
  }
}

/** SHA-256 of a byte stream, in hexadecimal. */
export async function digestOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(bytes, hash);
  return hash.digest("hex");
}

async function measureGroup(
  group: DownloadGroup,
  library: BenchLibrary,
  running: ReadonlyMap<FileServer, RunningFileServer>,
  bench: Bench,
): Promise<DownloadRound[][]> {
  const { rounds, seconds, warmUpSeconds } = bench.options;
  // Every server has sent the whole file before.
  const warmUp = warmUpSeconds / 4;
  const measureOne = (server: FileServer, time: number) =>
    measure(group, running.get(server)!, library.bytes, time).catch((cause) => {
      throw new Error(`${server.name} failed: ${group.title}`, { cause });
    });
  for (const server of group.servers) await measureOne(server, warmUp);
  return inRounds(group.servers, rounds, async (server, round) => {
    const result = await measureOne(server, seconds);
    bench.log(
      `${group.name} ${round}/${rounds} ${server.name}: ${result.rate.toFixed(2)} GiB/s, ` +
        `${result.cpu.toFixed(3)} s/GiB, ${result.peak.toFixed(0)} MiB, client ${result.clientCpu.toFixed(3)} s/GiB`,
    );
    return result;
  });
}

export function rowName(group: string, server: FileServer): string {
  return `${group}, ${server.name}`;
}

function figureRows(
  { name, servers: [first, ...others] }: DownloadGroup,
  measured: readonly (readonly DownloadRound[])[],
): FigureRow[] {
  const peer = rowName(name, first!);
  return [
    { name: peer, ...(!ours.has(first!) && { isPeer: true }), rounds: measured[0]! },
    ...others.map((server, index) => ({
      name: rowName(name, server),
      peer,
      ...(!ours.has(server) && { isPeer: true }),
      rounds: measured[index + 1]!,
    })),
  ];
}

/** Time until the buffers between server and client are full. */
const fillSeconds = (seconds: number) => Math.min(0.25, seconds);

/** Downloads the file over and over on `parallel` connections, and measures for some seconds of that time. */
export async function measure(
  { version, parallel }: Pick<DownloadGroup, "version" | "parallel">,
  { port, http2Port, pid, path }: Omit<RunningFileServer, "stop">,
  fileBytes: number,
  seconds: number,
): Promise<DownloadRound> {
  const file = { port: version === 1 ? port : http2Port, path, bytes: fileBytes };
  let bytes = 0;
  let isOver = false;
  const inFlight = new Set<RunningRead>();
  const download = async () => {
    while (!isOver) {
      const reading = readers[version](file, (more) => {
        bytes += more;
      });
      inFlight.add(reading);
      await reading.done;
      inFlight.delete(reading);
    }
  };
  const snapshot = () => {
    const { user, system } = process.cpuUsage();
    return { bytes, at: performance.now(), cpu: cpuSecondsOfTree(pid), client: (user + system) / 1e6 };
  };
  resetPeakMemory(pid);
  const downloads = Promise.all(Array.from({ length: parallel }, download));
  try {
    await Promise.race([delay(fillSeconds(seconds) * 1000), downloads]);
    const before = snapshot();
    await Promise.race([delay(seconds * 1000), downloads]);
    const after = snapshot();
    const gibibytes = (after.bytes - before.bytes) / 2 ** 30;
    return {
      rate: (gibibytes * 1000) / (after.at - before.at),
      cpu: (after.cpu - before.cpu) / gibibytes,
      peak: peakMemoryOf(pid) / 2 ** 20,
      clientCpu: (after.client - before.client) / gibibytes,
    };
  } finally {
    isOver = true;
    for (const reading of inFlight) reading.stop();
    await downloads.catch(() => {});
  }
}
