/** Many downloads at a time, each at the rate of its own line. */
import { Worker } from "node:worker_threads";
import { type BenchLibrary, preparedLink } from "../downloads/library.ts";
import type { Header } from "../drivers/driver.ts";

export interface DownloadLink {
  readonly port: number;
  /** Path and query. */
  readonly path: string;
}

/** What the thread that reads the downloads is given. */
export interface DownloadWork {
  readonly links: readonly DownloadLink[];
  /** Size of the file. */
  readonly fileBytes: number;
  /** Of each download. */
  readonly bytesPerSecond: number;
  /** Shared with the thread: see `counters`. */
  readonly shared: SharedArrayBuffer;
}

/** Places of the shared numbers, which are 64 bits wide. */
export const counters = { bytes: 0, failures: 1, isPaused: 2 } as const;

/** Downloads in flight. A thread reads them, so that what measures latencies is not kept from it. */
export class SlowDownloads {
  readonly sessionIds: readonly string[];
  readonly #shared: BigInt64Array;
  readonly #worker: Worker;

  private constructor(sessionIds: readonly string[], work: Omit<DownloadWork, "shared">) {
    this.sessionIds = sessionIds;
    const shared = new SharedArrayBuffer(8 * Object.keys(counters).length);
    this.#shared = new BigInt64Array(shared);
    const workerData: DownloadWork = { ...work, shared };
    this.#worker = new Worker(new URL("download-thread.ts", import.meta.url), { workerData });
  }

  /** @param ports of the replicas, in turn */
  static async start(
    count: number,
    ports: readonly number[],
    library: BenchLibrary,
    headers: readonly Header[],
    bytesPerSecond: number,
  ): Promise<SlowDownloads> {
    const sessionIds: string[] = [];
    const links: DownloadLink[] = [];
    for (let n = 0; n < count; n++) {
      const port = ports[n % ports.length]!;
      const { sessionId, path } = await preparedLink(port, headers);
      sessionIds.push(sessionId);
      links.push({ port, path });
    }
    return new SlowDownloads(sessionIds, { links, fileBytes: library.bytes, bytesPerSecond });
  }

  /** Bytes that have arrived so far. */
  get bytes(): number {
    return Number(Atomics.load(this.#shared, counters.bytes));
  }

  /** How many did not end as they should. */
  get failures(): number {
    return Number(Atomics.load(this.#shared, counters.failures));
  }

  get isPaused(): boolean {
    return Atomics.load(this.#shared, counters.isPaused) === 1n;
  }

  /** Whether they take nothing. */
  set isPaused(isPaused: boolean) {
    Atomics.store(this.#shared, counters.isPaused, isPaused ? 1n : 0n);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
