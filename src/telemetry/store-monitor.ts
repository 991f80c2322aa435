import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { causeOf } from "./cause.ts";
import type { Health } from "./health.ts";

export interface StoreMonitorOptions {
  /** Resolves when a session could be created now; else rejects with an error whose cause says why. */
  readonly store: { probe(): Promise<void> };
  readonly health: Health;
  readonly log: Logger;
  /** Pause between two probes of a store that works; a second by default. */
  readonly intervalMs?: number;
}

/** Pause between two probes of a store that does not work. */
const retryMs = 100;

/** Probes the store again and again: the service is as ready as its store. */
export class StoreMonitor {
  readonly #store: StoreMonitorOptions["store"];
  readonly #health: Health;
  readonly #log: Logger;
  readonly #intervalMs: number;
  /** When the store was first found not to work; undefined while it works. By `performance.now()`. */
  #downSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor({ store, health, log, intervalMs = 1000 }: StoreMonitorOptions) {
    this.#store = store;
    this.#health = health;
    this.#log = log;
    this.#intervalMs = intervalMs;
  }

  /** Resolves when the store works, or has had one interval to do so. */
  async start(): Promise<void> {
    const patience = performance.now() + this.#intervalMs;
    let failure = await this.#probe();
    while (failure !== undefined && !this.#stopped && performance.now() < patience) {
      await delay(retryMs);
      failure = await this.#probe();
    }
    this.#report(failure);
  }

  /** From now on the health is left alone. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Resolves with the failure, or undefined. */
  async #probe(): Promise<Error | undefined> {
    try {
      await this.#store.probe();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #report(failure: Error | undefined): void {
    if (this.#stopped) return;
    if (failure === undefined) this.#works();
    else this.#fails(failure);
    const again = async () => this.#report(await this.#probe());
    this.#timer = setTimeout(again, failure === undefined ? this.#intervalMs : retryMs).unref();
  }

  #works(): void {
    this.#health.set("SERVING");
    if (this.#downSince === undefined) return;
    const downMs = Math.round(performance.now() - this.#downSince);
    this.#downSince = undefined;
    this.#log.info({ downMs }, "ready again: sessions can be stored");
  }

  /** Logs the first failure of several in a row: it names the cause. */
  #fails(failure: Error): void {
    this.#health.set("NOT_SERVING");
    if (this.#downSince !== undefined) return;
    this.#downSince = performance.now();
    const cause = causeOf(failure.cause ?? failure)!;
    this.#log.warn({ cause }, `not ready: no session can be stored: ${cause.message}`);
  }
}
