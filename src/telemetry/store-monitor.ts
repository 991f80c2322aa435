import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Health } from "./health.ts";

export interface StoreMonitorOptions {
  readonly store: { ping(): Promise<void> };
  readonly health: Health;
  readonly log: Logger;
  /** Interval between checks of a store that answers; a second by default. */
  readonly intervalMs?: number;
}

/** Interval between checks of a store that does not answer. */
const retryMs = 100;

/** Checks periodically whether the store answers: the service is as ready as its store. */
export class StoreMonitor {
  readonly #store: StoreMonitorOptions["store"];
  readonly #health: Health;
  readonly #log: Logger;
  readonly #intervalMs: number;
  #answers: boolean | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor({ store, health, log, intervalMs = 1000 }: StoreMonitorOptions) {
    this.#store = store;
    this.#health = health;
    this.#log = log;
    this.#intervalMs = intervalMs;
  }

  /** Resolves when the store answers, or after one interval without an answer. */
  async start(): Promise<void> {
    const deadline = performance.now() + this.#intervalMs;
    let answers = await this.#isAnswering();
    while (!answers && !this.#stopped && performance.now() < deadline) {
      await delay(retryMs);
      answers = await this.#isAnswering();
    }
    this.#record(answers);
  }

  /** Ends the checks; the health stays as it is. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #isAnswering(): Promise<boolean> {
    try {
      await this.#store.ping();
      return true;
    } catch {
      return false;
    }
  }

  #record(answers: boolean): void {
    if (this.#stopped) return;
    if (answers !== this.#answers) this.#report(answers);
    this.#answers = answers;
    const checkAgain = async () => this.#record(await this.#isAnswering());
    this.#timer = setTimeout(checkAgain, answers ? this.#intervalMs : retryMs).unref();
  }

  #report(answers: boolean): void {
    this.#health.set(answers ? "SERVING" : "NOT_SERVING");
    if (!answers) this.#log.warn("not ready: the session store does not answer");
    else if (this.#answers === false) this.#log.info("ready again: the session store answers");
  }
}
