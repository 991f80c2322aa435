/** Told when its time is over. */
export interface Limited {
  timedOut(): void;
}

/**
 * A limit that many share. What has the same limit times out in the order in which it began, so that one timer does
 * for all of it: a timer each would be a tenth of what a command costs.
 */
export class TimeLimit {
  readonly #ms: number;
  /** When each began, oldest first. */
  readonly #running = new Map<Limited, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  begin(limited: Limited, now: number): void {
    this.#running.set(limited, now);
    this.#timer ??= setTimeout(this.#look, this.#ms);
  }

  end(limited: Limited): void {
    this.#running.delete(limited);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const now = performance.now();
    for (const [limited, begun] of this.#running) {
      const left = begun + this.#ms - now;
      if (left > 0) {
        this.#timer = setTimeout(this.#look, Math.ceil(left));
        return;
      }
      this.#running.delete(limited);
      limited.timedOut();
    }
  };
}
