import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Logger } from "pino";

/** The clocks of the machine, in milliseconds; tests replace them. */
export interface Clocks {
  /** Identifies the boot of the machine; processes with the same one read the same monotonic clock. */
  readonly boot: string;
  /** Runs steadily, whatever happens to the time of day. With a fraction. */
  monotonicMs(): number;
  /** Time of day since the Unix epoch, in whole milliseconds. */
  wallMs(): number;
  /** As `wallMs`, with a fraction; takes longer. */
  exactWallMs(): number;
}

/** What the clock of `performance` starts from. */
const processStartMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

export const systemClocks: Clocks = {
  boot: bootId(),
  monotonicMs: () => processStartMs + performance.now(),
  wallMs: () => Date.now(),
  exactWallMs() {
    const exact = performance.timeOrigin + performance.now();
    // The clock may have been set since the process started.
    return Math.abs(exact - Date.now()) < 2 ? exact : Date.now();
  },
};

/** Elsewhere than on Linux it is one of the process alone: other processes then compare the time of day. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return randomUUID();
  }
}

/** A smaller difference is no step of the clock. */
const toleranceMs = 1000;

/**
 * The clock that all times in a database file are on, the same for all its processes. It runs steadily: setting the
 * machine's clock neither ends a lease nor prolongs it. Callers get the machine's time instead, see `wall`.
 */
export class StoreClock {
  readonly #clocks: Clocks;
  readonly #offsetMs: number;
  readonly #log: Logger | undefined;
  /** Machine's time minus the file's. */
  #aheadMs = 0;

  /** @param offsetMs the file's time minus the monotonic clock */
  constructor(clocks: Clocks, offsetMs: number, log?: Logger) {
    this.#clocks = clocks;
    this.#offsetMs = offsetMs;
    // A step of the time before is nothing to report.
    this.now();
    this.#log = log;
  }

  /** Whole milliseconds. They are those since the Unix epoch, but for the steps that the machine's clock has made. */
  now(): number {
    const now = Math.floor(this.#clocks.monotonicMs() + this.#offsetMs);
    const stepMs = this.#clocks.wallMs() - now - this.#aheadMs;
    if (stepMs > toleranceMs || stepMs < -toleranceMs) this.#follow(stepMs);
    return now;
  }

  /** What the machine's clock shows at a time of this one, to announce it. */
  wall(time: number): number {
    return time + this.#aheadMs;
  }

  #follow(stepMs: number): void {
    this.#aheadMs += stepMs;
    const step = `${stepMs > 0 ? "forward" : "back"} by ${(Math.abs(stepMs) / 1000).toFixed(1)} s`;
    this.#log?.warn({ stepMs }, `the machine's clock was set ${step}; leases are not affected`);
  }
}
