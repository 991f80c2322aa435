import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { ServingStatus } from "../telemetry/health.ts";
import type { Exposition } from "../telemetry/metrics.ts";
import { ProgramMetrics } from "../telemetry/program-metrics.ts";
import type { Serving, WorkerMessage } from "./messages.ts";
import { restartDelayMs, steadyMs } from "./restart-delay.ts";
import { WorkerFailure, WorkerProcess } from "./worker-process.ts";

export interface SupervisorEvents {
  /** No worker serves any more, and none can be started; all have ended. */
  readonly onFailure: (failure: WorkerFailure) => void;
}

export interface SupervisorOptions extends SupervisorEvents {
  readonly workers: number;
  /** 0: any free one, the same for all. */
  readonly port: number;
  /** Shutdown timeout. */
  readonly graceMs: number;
  /** How long the downloads of a worker that stops may go on, if that is longer. */
  readonly transferGraceMs: number;
  readonly log: Logger;
  /** Further members of the log line "serving". */
  readonly served: () => object;
}

/** The time that a worker at its deadline needs to cut its connections and to end. */
const killMarginMs = 500;

/** How long workers may take to send their metrics; one that is busy or dying must not delay the others. */
const snapshotMs = 1000;

/** Runs the workers of a program and serves no calls itself. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: Logger;
  readonly #metrics: ProgramMetrics;
  /** The workers that have not ended. */
  readonly #workers = new Set<WorkerProcess>();
  /** Workers whose metrics are awaited, with what their answer resolves. */
  readonly #awaited = new Map<WorkerProcess, () => void>();
  readonly #stopping = new AbortController();
  #isRestarting = false;
  /** The worker whose successor is starting; it needs no other replacement. */
  #outgoing: WorkerProcess | undefined;
  /** The port that all workers share; 0 until the first one serves. */
  #port = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#metrics = new ProgramMetrics(options);
  }

  /**
   * Resolves when every worker serves.
   *
   * @throws WorkerFailure the failure of the first worker that can't; no worker is left then
   */
  async start(): Promise<void> {
    const { workers: number, served } = this.#options;
    const workers = Array.from({ length: number }, () => this.#fork(0));
    try {
      const [{ url, port }] = (await Promise.all(workers.map(({ serving }) => serving))) as [Serving];
      this.#port = port;
      for (const worker of workers) this.#watch(worker);
      this.#log.info({ url, workers: number, ...served() }, "serving");
    } catch (error) {
      await this.#killAll();
      throw error;
    }
  }

  /**
   * Replaces the workers one by one; a worker stops when its successor serves. One that only has downloads any more
   * goes on with them beside the others. Before that every worker reads its files again, whether the restart then succeeds
   * or not.
   */
  async restart(): Promise<void> {
    if (this.#isRestarting || this.#isStopping) return;
    this.#isRestarting = true;
    this.#log.info("restarting the workers");
    for (const worker of this.#workers) worker.send({ type: "reload" });
    try {
      for (const old of [...this.#workers].filter(({ accepts }) => accepts)) {
        if (this.#workers.has(old)) await this.#startSuccessor(old);
      }
      this.#log.info("restarted the workers");
    } catch (error) {
      if (!this.#isStopping) this.#log.error({ reason: reasonOf(error) }, "the restart was abandoned");
    } finally {
      this.#isRestarting = false;
    }
  }

  /** Stops all workers in order. Resolves when all have ended, with whether each did so in time and without an error. */
  async stop(): Promise<boolean> {
    this.#log.info("stopping");
    this.#stopping.abort();
    const isWell = await this.#stopAll([...this.#workers]);
    this.#log.info("stopped");
    return isWell;
  }

  /** Kills all workers. */
  kill(): void {
    this.#stopping.abort();
    for (const worker of this.#workers) worker.kill();
  }

  /** SERVING while any worker is ready. */
  get statuses(): ReadonlyMap<string, ServingStatus> {
    const isReady = !this.#isStopping && [...this.#workers].some((worker) => worker.isReady);
    return new Map([["", isReady ? "SERVING" : "NOT_SERVING"]]);
  }

  /**
   * The metrics of all workers; of one that does not answer in time the last snapshot counts. One call at a time: an
   * answer of a worker ends the wait of the latest.
   */
  async expose(): Promise<Exposition> {
    const workers = [...this.#workers].filter(({ serves }) => serves);
    const inTime = delay(snapshotMs, undefined, { ref: false });
    let answered = 0;
    const answers = workers.map(async (worker) => {
      const answer = Promise.withResolvers<void>();
      this.#awaited.set(worker, answer.resolve);
      worker.send({ type: "snapshot" });
      await answer.promise;
      this.#awaited.delete(worker);
      if (this.#workers.has(worker)) answered++;
    });
    await Promise.race([Promise.all(answers), inTime]);
    for (const worker of workers) this.#awaited.delete(worker);
    return this.#metrics.expose({ answered });
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  #fork(crashes: number): WorkerProcess {
    // A worker shares the port of a serving worker when it requests the same port, even if that is 0.
    const other = [...this.#workers].find(({ port }) => port !== undefined && port === this.#port);
    const port = other?.requestedPort ?? (this.#port || this.#options.port);
    const worker = new WorkerProcess(port, crashes, (from, message) => this.#receive(from, message));
    this.#workers.add(worker);
    void worker.ended.then(() => {
      this.#workers.delete(worker);
      worker.handOver([...this.#workers].some(({ accepts }) => accepts));
      this.#awaited.get(worker)?.();
      this.#metrics.retire(worker.number);
    });
    return worker;
  }

  /** Replaces a serving worker when it ends unexpectedly. */
  #watch(worker: WorkerProcess): void {
    this.#log.info({ worker: worker.number, pid: worker.pid }, "a worker serves");
    void worker.ended.then(({ code, signal }) => {
      if (worker.isLeaving) return;
      this.#log.error({ worker: worker.number, code, signal }, "a worker ended unexpectedly");
      this.#metrics.countCrash();
      if (worker !== this.#outgoing && !this.#isStopping) void this.#replace(worker);
    });
  }

  async #replace({ servesSince = 0, crashes: before }: WorkerProcess): Promise<void> {
    let crashes = performance.now() - servesSince > steadyMs ? 1 : before + 1;
    for (; ; crashes++) {
      await delay(restartDelayMs(crashes), undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (this.#isStopping) return;
      const worker = this.#fork(crashes);
      try {
        await this.#serves(worker);
        return;
      } catch (error) {
        if (this.#isStopping) return;
        this.#log.error({ worker: worker.number, reason: reasonOf(error) }, "a worker did not start");
        const isAlone = ![...this.#workers].some(({ serves }) => serves);
        if (isAlone && error instanceof WorkerFailure && error.isExplained) {
          this.#stopping.abort();
          await this.#killAll();
          this.#options.onFailure(error);
          return;
        }
      }
    }
  }

  async #startSuccessor(old: WorkerProcess): Promise<void> {
    this.#outgoing = old;
    try {
      await this.#serves(this.#fork(0));
    } catch (error) {
      // It may have ended while its successor was starting.
      if (!this.#workers.has(old)) void this.#replace(old);
      throw error;
    } finally {
      this.#outgoing = undefined;
    }
    const afterCalls = delay(this.#options.graceMs + killMarginMs, undefined, { ref: false });
    await Promise.race([this.#stopAll([old]), afterCalls]);
  }

  /** Resolves when a worker that was added later serves, on the port of all others. */
  async #serves(worker: WorkerProcess): Promise<void> {
    const { port } = await worker.serving;
    if (port !== this.#port) {
      // All others ended while it was starting, so the system gave it a free port of its own.
      worker.kill();
      await worker.ended;
      throw new Error(`it serves port ${port} instead of ${this.#port}`);
    }
    this.#watch(worker);
  }

  async #stopAll(workers: readonly WorkerProcess[]): Promise<boolean> {
    const serving = workers.filter(({ serves }) => serves);
    const { graceMs, transferGraceMs } = this.#options;
    for (const worker of workers) worker.stop();
    const timer = setTimeout(() => {
      for (const worker of workers.filter((each) => this.#workers.has(each))) {
        this.#log.warn({ worker: worker.number }, "a worker did not end within the grace time and is killed");
        worker.kill();
      }
    }, Math.max(graceMs, transferGraceMs) + killMarginMs);
    await Promise.all(workers.map(({ ended }) => ended));
    clearTimeout(timer);
    let isWell = true;
    for (const { number, ended } of serving) {
      const { code, signal } = await ended;
      if (code === 0) continue;
      isWell = false;
      this.#log.warn({ worker: number, code, signal }, "a worker did not stop well");
    }
    return isWell;
  }

  async #killAll(): Promise<void> {
    const workers = [...this.#workers];
    for (const worker of workers) worker.kill();
    await Promise.all(workers.map(({ ended }) => ended));
  }

  #receive(from: WorkerProcess, message: WorkerMessage): void {
    if (message.type === "snapshot") {
      this.#metrics.keep(from.number, message.metrics);
      this.#awaited.get(from)?.();
    } else if (message.type === "leaving") {
      from.send({ type: "left" });
    } else if (message.type === "logLevel") {
      this.#log.level = message.level;
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}
