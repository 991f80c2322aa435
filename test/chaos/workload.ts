import { type ClientOptions, grpcClient, restClient } from "./clients.ts";
import type { Content } from "./content.ts";
import type { Operation } from "./history.ts";
import { seededRandom } from "./random.ts";
import { type KnownSession, pause, Worker } from "./worker.ts";

export interface WorkloadOptions {
  /** `http://host:port` of the load balancer. */
  readonly url: string;
  readonly content: Content;
  /** The `Authorization` header of each principal, by name. */
  readonly principals: Readonly<Record<string, string>>;
  readonly seed: number;
  /** Ends the workload. */
  readonly until: AbortSignal;
  readonly workers?: number;
  /** Average pause of a worker between two calls, in milliseconds. */
  readonly thinkMs?: number;
}

/** Workers that read a large file, slowly, in a session that they cancel meanwhile. */
const slowReaders = 2;

/** Calls the service at random until the signal, and gives the history of all that was called. */
export async function runWorkload(options: WorkloadOptions): Promise<Operation[]> {
  const { workers = 12 } = options;
  const workload = new Workload(options);
  const working = Array.from({ length: workers }, (_, number) => workload.work(number));
  const reading = Array.from({ length: slowReaders }, (_, number) => workload.readSlowly(workers + number));
  await Promise.all([...working, ...reading]);
  return workload.history;
}

class Workload {
  readonly history: Operation[] = [];
  readonly #options: WorkloadOptions;
  readonly #live = new Map<string, KnownSession[]>();
  readonly #left: KnownSession[] = [];
  #marks = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    for (const principal of Object.keys(options.principals)) this.#live.set(principal, []);
  }

  async work(number: number): Promise<void> {
    const { until, thinkMs = 15 } = this.#options;
    using worker = this.#worker(number);
    while (!until.aborted) {
      await worker.step();
      await pause(worker.random.fraction() * 2 * thinkMs, until);
    }
  }

  async readSlowly(number: number): Promise<void> {
    const { until } = this.#options;
    using worker = this.#worker(number);
    while (!until.aborted) {
      await worker.readAndCancel(until);
      await pause(500, until);
    }
  }

  #worker(number: number): Worker {
    const { url, principals, seed, content } = this.#options;
    const names = Object.keys(principals);
    const principal = names[number % names.length]!;
    const clientOptions: ClientOptions = { url, authorization: principals[principal]! };
    const isGrpc = Math.floor(number / names.length) % 2 === 0;
    return new Worker(content, {
      number,
      principal,
      client: isGrpc ? grpcClient(clientOptions) : restClient(clientOptions),
      random: seededRandom(seed * 1000 + number),
      record: (operation) => this.history.push(operation),
      nextMark: () => `mark ${++this.#marks} of worker ${number}`,
      live: this.#live.get(principal)!,
      ofOthers: () => names.filter((name) => name !== principal).flatMap((name) => this.#live.get(name)!),
      left: this.#left,
    });
  }
}
