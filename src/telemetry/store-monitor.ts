import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Health } from "./health.ts";

export interface StoreMonitorOptions {
  readonly store: { ping(): Promise<void> };
  readonly health: Health;
  readonly log: Logger;
  /** Pause between two looks at a store that answers; a second by default. */
  readonly intervalMs?: number;
}

/** Pause between two looks at a store that does not answer. */
const retryMs = 100;

/** Looks again and again whether the store answers: the service is as ready as its store. */
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

  /** Resolves when the store has answered, or has had one interval to do so. */
  async start(): Promise<void> {
    const patience = performance.now() + this.#intervalMs;
    let answers = await this.#ask();
    while (!answers && !this.#stopped && performance.now() < patience) {
      await delay(retryMs);
      answers = await this.#ask();
    }
    this.#found(answers);
  }

  /** From now on the health is left alone. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<boolean> {
    try {
      await this.#store.ping();
      return true;
    } catch {
      return false;
    }
  }

  #found(answers: boolean): void {
    if (this.#stopped) return;
    if (answers !== this.#answers) this.#changed(answers);
    this.#answers = answers;
    const lookAgain = async () => this.#found(await this.#ask());
    this.#timer = setTimeout(lookAgain, answers ? this.#intervalMs : retryMs).unref();
  }

  #changed(answers: boolean): void {
    this.#health.set(answers ? "SERVING" : "NOT_SERVING");
    if (!answers) this.#log.warn("not ready: the session store does not answer");
    else if (this.#answers === false) this.#log.info("ready again: the session store answers");
  }
}
