/** Downloads of one file from each server in turn. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { readHttp1 } from "../downloads/http1-reader.ts";
import { readHttp2 } from "../downloads/http2-reader.ts";
import { type BenchLibrary, createLibrary } from "../downloads/library.ts";
import type { DownloadReader, RunningRead } from "../downloads/reader.ts";
import {
  downleaseFiles,
  type FileServer,
  nginxCopying,
  nginxSendfile,
  nodeFile,
  type RunningFileServer,
} from "../downloads/servers.ts";
import type { FigureRow, Figures } from "../figures.ts";
import { fixed, times } from "../formats.ts";
import { ratioGoal, valueGoal } from "../goals.ts";
import { nginx } from "../needs.ts";
import { cpuSecondsOfTree, peakMemoryOf, resetPeakMemory } from "../process-figures.ts";
import { inRounds } from "../rounds.ts";
import { median, ratio, type Spread, spread } from "../statistics.ts";
import type { Bench, Study, Table } from "../study.ts";

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
type DownloadRound = {
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
  peak: { unit: "MiB", better: "less" },
  clientCpu: { unit: "s of client CPU a GiB", better: "neither" },
};

const readers: Readonly<Record<1 | 2, DownloadReader>> = { 1: readHttp1, 2: readHttp2 };

const overHttp1 = [nginxCopying, nginxSendfile, nodeFile, downleaseFiles];

export const downloadGroups: readonly DownloadGroup[] = [
  {
    name: "download",
    title: "One download at a time, HTTP/1.1",
    version: 1,
    parallel: 1,
    servers: overHttp1,
  },
  {
    name: "downloads-64",
    title: "64 downloads at a time, HTTP/1.1",
    version: 1,
    parallel: 64,
    servers: overHttp1,
  },
  {
    name: "download-http2",
    title: "One download at a time, HTTP/2 without TLS",
    version: 2,
    parallel: 1,
    servers: [nginxCopying, downleaseFiles],
  },
];

export const downloadsStudy: Study = {
  name: "downloads",
  description: "downloads of a file of 1 GiB against nginx, one and 64 at a time",
  budgetSeconds: 110,
  tables: downloadGroups.map(({ name }) => name),
  goals: [
    downloadGoal("one download", "download", "rate", nginxCopying, "≥ 0.6"),
    downloadGoal("one download", "download", "rate", nginxSendfile, "≥ 0.6"),
    downloadGoal("one download", "download", "cpu", nginxCopying, "≤ 1.5"),
    downloadGoal("64 downloads at a time", "downloads-64", "cpu", nginxCopying, "≤ 1.5"),
    valueGoal({
      what: "64 downloads of 1 GiB at a time: peak memory",
      target: "< 200 MiB",
      metric: "peak",
      rows: [rowName("downloads-64", downleaseFiles)],
      digits: 0,
      ofMaximum: true,
    }),
  ],
  needs: [nginx],
  async run(bench) {
    bench.log("downloads: writing the file");
    const library = await createLibrary(bench.directory, bench.options.isQuick ? 2 ** 26 : 2 ** 30);
    const digest = await digestOf(createReadStream(join(library.root, library.path)));
    const running = new Map<FileServer, RunningFileServer>();
    try {
      for (const server of new Set(downloadGroups.flatMap(({ servers }) => servers))) {
        const started = await server.start({
          library,
          redisUrl: bench.redis.url,
          directory: bench.directory,
        });
        running.set(server, started);
        await expectFile(server, started, digest);
      }
      const tables: Table[] = [];
      const rows: FigureRow[] = [];
      for (const group of downloadGroups) {
        const measured = await measureGroup(group, library, running, bench);
        tables.push(tableOf(group, measured));
        rows.push(...figureRows(group, measured));
      }
      return { tables, figures: { metrics, rows } };
    } finally {
      for (const server of running.values()) await server.stop();
    }
  },
};

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
  const measureOne = (server: FileServer, time: number) =>
    measure(group, running.get(server)!, library.bytes, time).catch((cause) => {
      throw new Error(`${server.name} failed: ${group.title}`, { cause });
    });
  for (const server of group.servers) await measureOne(server, warmUpSeconds);
  return inRounds(group.servers, rounds, async (server, round) => {
    const result = await measureOne(server, seconds);
    bench.log(
      `${group.name} ${round}/${rounds} ${server.name}: ${result.rate.toFixed(2)} GiB/s, ` +
        `${result.cpu.toFixed(3)} s/GiB, ${result.peak.toFixed(0)} MiB, client ${result.clientCpu.toFixed(3)} s/GiB`,
    );
    return result;
  });
}

function rowName(group: string, server: FileServer): string {
  return `${group}, ${server.name}`;
}

function figureRows(
  { name, servers: [first, ...others] }: DownloadGroup,
  measured: readonly (readonly DownloadRound[])[],
): FigureRow[] {
  const peer = rowName(name, first!);
  return [
    { name: peer, rounds: measured[0]! },
    ...others.map((server, index) => ({ name: rowName(name, server), peer, rounds: measured[index + 1]! })),
  ];
}

function downloadGoal(
  what: string,
  group: string,
  metric: "rate" | "cpu",
  theirs: FileServer,
  target: string,
) {
  return ratioGoal({
    what: `${what}: ${metric === "rate" ? "rate" : "server CPU of a GiB"} against ${theirs.name}`,
    target,
    metric,
    row: rowName(group, downleaseFiles),
    against: rowName(group, theirs),
  });
}

/** Time until the buffers between server and client are full. */
const fillSeconds = 0.25;

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
    await Promise.race([delay(fillSeconds * 1000), downloads]);
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

function tableOf(group: DownloadGroup, measured: readonly (readonly DownloadRound[])[]): Table {
  const pick = (rounds: readonly DownloadRound[], key: keyof DownloadRound) =>
    rounds.map((round) => round[key]);
  const [copying, sendfile] = [nginxCopying, nginxSendfile].map(
    (server) => measured[group.servers.indexOf(server)],
  );
  return {
    name: group.name,
    title: group.title,
    header: [
      "",
      "GiB/s",
      "spread",
      "server CPU s/GiB",
      "peak memory MiB",
      "client CPU s/GiB",
      "rate ratio",
      "CPU ratio",
      ...(sendfile === undefined ? [] : ["CPU ratio to sendfile on"]),
    ],
    rows: group.servers.map((server, index) => {
      const rounds = measured[index]!;
      const against = (others: readonly DownloadRound[], key: keyof DownloadRound): Spread =>
        ratio(pick(rounds, key), pick(others, key));
      return [
        server.name,
        median(pick(rounds, "rate")).toFixed(2),
        fixed(spread(pick(rounds, "rate"))),
        median(pick(rounds, "cpu")).toFixed(2),
        Math.max(...pick(rounds, "peak")).toFixed(0),
        median(pick(rounds, "clientCpu")).toFixed(2),
        times(against(copying!, "rate")),
        times(against(copying!, "cpu")),
        ...(sendfile === undefined ? [] : [times(against(sendfile, "cpu"))]),
      ];
    }),
  };
}
