/** Downloads over a long line, against other downloaders. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "../../test/support/eventually.ts";
import type { Process } from "../../test/support/process.ts";
import { type Line, type LineOptions, startLine } from "../distance/line.ts";
import { type BenchLibrary, createLibrary, itemId } from "../downloads/library.ts";
import type { FigureRow, Figures } from "../figures.ts";
import { fixed, times } from "../formats.ts";
import { ratioGoal } from "../goals.ts";
import { aria2c, curl, go, root, tun } from "../needs.ts";
import { inRounds } from "../rounds.ts";
import { median, ratio, spread } from "../statistics.ts";
import type { Bench, Study, Table } from "../study.ts";

/** 100 ms there and back, a packet in a thousand lost, 200 Mbit/s. */
const line = { delayMs: 50, loss: 0.001, bitsPerSecond: 200e6 };
const congestionControls = ["cubic", "bbr"] as const;
type CongestionControl = LineOptions["congestionControl"];

/** Large enough that the calls before a download, which only ours makes, are not what is measured. */
const fileBytes = 128 * 2 ** 20;
const port = 8080;
const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** A download takes long, and its variance is that of 90,000 packets. */
const rounds = 1;

/** What a downloader gets from. */
interface Source {
  readonly line: Line;
  readonly server: string;
  readonly link: string;
  readonly bytes: number;
  /** Where it writes; empty. */
  readonly directory: string;
}

interface Downloader {
  readonly name: string;
  /** @returns bytes and milliseconds */
  download(source: Source): Promise<{ readonly bytes: number; readonly ms: number }>;
}

/** A connection of cubic takes too long for the whole file. */
const curlSeconds = 6;

const byCurl: Downloader = {
  name: "curl",
  async download({ line, link, directory }) {
    const file = join(directory, "file");
    const args = ["-s", "-o", file, "--max-time", `${curlSeconds}`, "-w", "%{size_download} %{time_total}"];
    const curl = await line.start("near", "curl", [...args, link]);
    const { code } = await curl.exited;
    // 28: the time was over.
    if (code !== 0 && code !== 28) throw new Error(`curl ended with ${code}`);
    const [bytes, seconds] = curl.stdout.split(" ").map(Number);
    return { bytes: bytes!, ms: seconds! * 1_000 };
  },
};

const byAria2c: Downloader = {
  name: "aria2c -x4 -s4",
  download({ line, link, directory, bytes }) {
    // By default it does not split files of less than 40 MiB, and writes zeros first.
    const args = ["-x4", "-s4", "-k1M", "--file-allocation=none", "-d", directory, "-o", "file", link];
    return timed("aria2c", bytes, () => line.start("near", "aria2c", args));
  },
};

const byGet: Downloader = {
  name: "downlease get",
  download({ line, server, directory, bytes }) {
    const args = [main, "get", itemId, "--server", server, "--output", directory, "--quiet"];
    return timed("downlease get", bytes, () => line.start("near", process.execPath, args));
  },
};

const downloaders = [byAria2c, byGet, byCurl];

type DistanceRound = {
  /** MiB per second, from the start of the program to its end. */
  readonly rate: number;
};

const metrics: Figures["metrics"] = { rate: { unit: "MiB/s", better: "more" } };

const goal = (congestionControl: CongestionControl, against: Downloader, target: string) =>
  ratioGoal({
    what: `100 ms and 0.1 % loss, ${congestionControl}: rate of get against ${against.name}`,
    target,
    metric: "rate",
    row: rowName(congestionControl, byGet),
    against: rowName(congestionControl, against),
  });

export const distanceStudy: Study = {
  name: "distance",
  description: "get over a line of 100 ms and 0.1 % loss, against aria2c and curl",
  budgetSeconds: 95,
  tables: ["distance"],
  goals: [goal("cubic", byAria2c, "≥ 0.9"), goal("cubic", byCurl, "≥ 2"), goal("bbr", byAria2c, "≥ 0.9")],
  needs: [root, go, tun, aria2c, curl],
  async run(bench) {
    const library = await createLibrary(
      join(bench.directory, "long-line"),
      bench.options.isQuick ? 2 ** 24 : fileBytes,
    );
    const rows: FigureRow[] = [];
    for (const congestionControl of congestionControls) {
      await using far = await startLine({ ...line, congestionControl, seed: 1 });
      rows.push(...(await measureOn(far, congestionControl, library, bench)));
    }
    return { tables: [tableOf(rows)], figures: { metrics, rows } };
  },
};

async function measureOn(
  far: Line,
  congestionControl: CongestionControl,
  library: BenchLibrary,
  bench: Bench,
): Promise<FigureRow[]> {
  const service = await startServing(far, library);
  try {
    const server = `http://${far.farAddress}:${port}`;
    const link = await linkOver(far, server);
    const measured = await inRounds(downloaders, rounds, async (downloader, round) => {
      const directory = join(bench.directory, "distance");
      await rm(directory, { recursive: true, force: true });
      await mkdir(directory);
      const { bytes, ms } = await downloader.download({
        line: far,
        server,
        link,
        bytes: library.bytes,
        directory,
      });
      const rate = bytes / 2 ** 20 / (ms / 1000);
      bench.log(
        `distance, ${congestionControl} ${round}/${rounds} ${downloader.name}: ${rate.toFixed(2)} MiB/s`,
      );
      return { rate } satisfies DistanceRound;
    });
    const peer = rowName(congestionControl, byAria2c);
    return downloaders.map((downloader, index) => ({
      name: rowName(congestionControl, downloader),
      ...(downloader !== byAria2c && { peer }),
      rounds: measured[index]!,
    }));
  } finally {
    await service.kill();
  }
}

function rowName(congestionControl: CongestionControl, { name }: Downloader): string {
  return `${congestionControl}, ${name}`;
}

async function startServing(far: Line, library: BenchLibrary): Promise<Process> {
  const adminAddress = `127.0.0.1:${port + 1}`;
  const address = ["--host", far.farAddress, "--port", String(port), "--admin-listen", adminAddress];
  const args = [main, "serve", "--insecure-no-auth", ...address, "--content-root", library.root];
  const env = { DOWNLEASE_SQLITE_PATH: ":memory:" };
  const service = await far.start("far", process.execPath, args, { env });
  const isReady = async () => {
    const probe = await far.start("far", "curl", ["-sf", `http://${adminAddress}/readyz`]);
    return (await probe.exited).code === 0;
  };
  await eventually(
    "the service at the far end",
    async () => service.exit !== undefined || (await isReady()),
    {
      withinMs: 30_000,
    },
  );
  if (service.exit !== undefined) throw new Error(service.stderr);
  return service;
}

/** Opens a session and prepares its file, by calls at the far end. Returns the link. */
async function linkOver(far: Line, server: string): Promise<string> {
  const sessions = `${server}/api/content/library/item/download-session`;
  const post = async (url: string, body: object) => {
    const args = ["-sf", url, "-H", "content-type: application/json", "-d", JSON.stringify(body)];
    const call = await far.start("far", "curl", args);
    await call.exited;
    return JSON.parse(call.stdout);
  };
  const id = await post(sessions, { library_item_id: itemId });
  return await eventually("the file to be prepared", async () => {
    const info = await post(`${sessions}/${id}/file?action=prepare`, { file_name: "disk.bin" });
    return info.download_endpoint?.uri as string | undefined;
  });
}

async function timed(name: string, bytes: number, start: () => Promise<Process>) {
  const startedAt = performance.now();
  const { exited } = await start();
  const { code } = await exited;
  if (code !== 0) throw new Error(`${name} ended with ${code}`);
  return { bytes, ms: performance.now() - startedAt };
}

function tableOf(rows: readonly FigureRow[]): Table {
  const rates = (row: FigureRow) => row.rounds.map(({ rate }) => rate!);
  return {
    name: "distance",
    title: "A file of 128 MiB over 100 ms, 0.1 % loss and 200 Mbit/s",
    header: ["congestion control, downloader", "MiB/s", "spread", "rate against aria2c"],
    rows: rows.map((row) => {
      const peer = rows.find(({ name }) => name === (row.peer ?? row.name))!;
      return [
        row.name,
        median(rates(row)).toFixed(2),
        fixed(spread(rates(row))),
        times(ratio(rates(row), rates(peer))),
      ];
    }),
  };
}
