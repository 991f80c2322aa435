export type ServingStatus = "SERVING" | "NOT_SERVING";

/** Called after every change of the status of one service. */
export type HealthListener = (status: ServingStatus) => void;

/**
 * Whether this process serves, by service name; "" is the process as a whole. It knows no transport: gRPC health
 * and `/readyz` read it. Everything is NOT_SERVING at first.
 */
export class Health {
  readonly #statuses = new Map<string, ServingStatus>();
  readonly #listeners = new Map<string, Set<HealthListener>>();
  #isShutDown = false;

  constructor(services: readonly string[]) {
    for (const service of ["", ...services]) this.#statuses.set(service, "NOT_SERVING");
  }

  /** All services in a fixed order, the whole process first. */
  get statuses(): ReadonlyMap<string, ServingStatus> {
    return this.#statuses;
  }

  /** Sets the status of every service; has no effect after `shutDown`. */
  set(status: ServingStatus): void {
    if (this.#isShutDown) return;
    for (const [service, before] of this.#statuses) {
      if (before === status) continue;
      this.#statuses.set(service, status);
      for (const listener of this.#listeners.get(service) ?? []) listener(status);
    }
  }

  /** Makes every service NOT_SERVING for good. */
  shutDown(): void {
    this.set("NOT_SERVING");
    this.#isShutDown = true;
  }

  /** Calls back after each change, until the returned function is called. */
  watch(service: string, listener: HealthListener): () => void {
    const listeners = this.#listeners.get(service) ?? new Set();
    this.#listeners.set(service, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(service);
    };
  }
}
