import { type OverviewPoint, overviewPoint } from "../domain/overview.ts";
import type { ReplicaStore } from "../domain/replica-store.ts";

const intervalMs = 5_000;
/** Points that are kept: 15 minutes. */
const maxPoints = 180;

export interface OverviewHistoryOptions {
  readonly store: Pick<ReplicaStore, "read">;
  /** Time between two points; five seconds by default. */
  readonly intervalMs?: number;
}

/** How the state of the service was in the last 15 minutes: reads it from the store, until it is closed. */
export class OverviewHistory {
  readonly #store: Pick<ReplicaStore, "read">;
  readonly #timer: NodeJS.Timeout;
  #points: readonly OverviewPoint[] = [];
  #isReading = false;

  constructor(options: OverviewHistoryOptions) {
    this.#store = options.store;
    this.#timer = setInterval(() => void this.#add(), options.intervalMs ?? intervalMs).unref();
  }

  /** Oldest first. */
  get points(): readonly OverviewPoint[] {
    return this.#points;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #add(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const point = overviewPoint(await this.#store.read());
      this.#points = [...this.#points.slice(1 - maxPoints), point];
    } catch {
      // The store monitor reports it.
    } finally {
      this.#isReading = false;
    }
  }
}
