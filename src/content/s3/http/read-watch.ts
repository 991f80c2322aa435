/** A read that waits for bytes. */
export interface WaitingRead {
  /** Called ten times a second. */
  tick(): void;
}

const tickMs = 100;
/** After so many ticks without a byte a body counts as broken. */
export const silentTicks = 50;

/** The one timer of all reads. It runs while there are any, so that a read costs none. */
class ReadWatch {
  readonly #reads = new Set<WaitingRead>();
  #timer: NodeJS.Timeout | undefined;

  add(read: WaitingRead): void {
    this.#reads.add(read);
    this.#timer ??= setInterval(() => this.#tick(), tickMs);
  }

  delete(read: WaitingRead): void {
    this.#reads.delete(read);
  }

  #tick(): void {
    for (const read of this.#reads) read.tick();
    if (this.#reads.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

export const readWatch = new ReadWatch();
