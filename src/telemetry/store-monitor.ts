import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { causeOf } from "./cause.ts";
import type { Health } from "./health.ts";

export interface StoreMonitorOptions {
  readonly store: {
    /** Resolves when a session could be created now; else rejects with an error whose cause says why. */
    probe(): Promise<void>;
    /** Resolves when the store responds; else rejects. */
    describe(): Promise<unknown>;
  };
  /** Called with what was found. */
  readonly metrics?: { up(isUp: boolean): void; writable(isWritable: boolean): void };
  readonly health: Health;
  readonly log: Logger;
  /** Interval between probes of a store that works; a second by default. */
  readonly intervalMs?: number;
}

/** Interval between probes of a store that does not work. */
const retryMs = 100;

/** Probes the store periodically: the service is as ready as its store. */
export class StoreMonitor {
  readonly #store: StoreMonitorOptions["store"];
  readonly #health: Health;
  readonly #metrics: StoreMonitorOptions["metrics"];
  readonly #log: Logger;
  readonly #intervalMs: number;
  /** When the first of the latest failures was recorded, by `performance.now()`; undefined while the store works. */
  #failingSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #isLooking = false;

  constructor({ store, health, metrics, log, intervalMs = 1000 }: StoreMonitorOptions) {
    this.#store = store;
    this.#health = health;
    this.#metrics = metrics;
    this.#log = log;
    this.#intervalMs = intervalMs;
  }

  /** Resolves when the store works, or after one interval in which it does not. */
  async start(): Promise<void> {
    const deadline = performance.now() + this.#intervalMs;
    let failure = await this.#probe();
    while (failure !== undefined && !this.#stopped && performance.now() < deadline) {
      await delay(retryMs);
      failure = await this.#probe();
    }
    this.#record(failure);
  }

  /** Ends the probes; the health stays as it is. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Finds out whether a store that can't be written responds. */
  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const isUp = await this.#store.describe().then(
      () => true,
      () => false,
    );
    this.#isLooking = false;
    // It may work again by now.
    if (isUp || this.#failingSince !== undefined) this.#metrics?.up(isUp);
  }

  /** Resolves with the failure; undefined when the store works. */
  async #probe(): Promise<Error | undefined> {
    try {
      await this.#store.probe();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #record(failure: Error | undefined): void {
    if (this.#stopped) return;
    if (failure === undefined) this.#recordSuccess();
    else this.#recordFailure(failure);
    const probeAgain = async () => this.#record(await this.#probe());
    this.#timer = setTimeout(probeAgain, failure === undefined ? this.#intervalMs : retryMs).unref();
  }

  #recordSuccess(): void {
    this.#health.set("SERVING");
    this.#metrics?.writable(true);
    this.#metrics?.up(true);
    if (this.#failingSince === undefined) return;
    const downMs = Math.round(performance.now() - this.#failingSince);
    this.#failingSince = undefined;
    this.#log.info({ downMs }, "ready again: sessions can be stored");
  }

  /** Of several failures in a row the first one is logged, with its cause. */
  #recordFailure(failure: Error): void {
    this.#health.set("NOT_SERVING");
    this.#metrics?.writable(false);
    void this.#look();
    if (this.#failingSince !== undefined) return;
    this.#failingSince = performance.now();
    const cause = causeOf(failure.cause ?? failure)!;
    this.#log.warn({ cause }, `not ready: no session can be stored: ${cause.message}`);
  }
}
