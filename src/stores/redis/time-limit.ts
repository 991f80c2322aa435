/** Something that has to end in time. */
export interface Limited {
  readonly isOver: boolean;
  /** Called when the time is up and it is not over. */
  timedOut(): void;
}

/** Pause between two checks for what has run too long. */
const checkMs = 50;

/**
 * A time limit for many at once, with one timer for all: a timer for each would be a tenth of what a command costs.
 * They are kept in a queue, because with rare exceptions they end in the order in which they began. In a map whose
 * entries come and go this fast, V8's garbage collector could not free what it has held (an old table refers to its
 * successor).
 */
export class TimeLimit {
  readonly #ms: number;
  #queue: (Limited | undefined)[] = [];
  #begun: number[] = [];
  #head = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  begin(limited: Limited): void {
    this.#dropOver();
    this.#queue.push(limited);
    this.#begun.push(performance.now());
    this.#timer ??= setTimeout(this.#check, checkMs);
  }

  readonly #check = (): void => {
    this.#timer = undefined;
    const latest = performance.now() - this.#ms;
    for (let index = this.#head; index < this.#queue.length && this.#begun[index]! <= latest; index++) {
      const limited = this.#queue[index]!;
      if (!limited.isOver) limited.timedOut();
    }
    this.#dropOver();
    if (this.#head < this.#queue.length) this.#timer = setTimeout(this.#check, checkMs);
  };

  #dropOver(): void {
    while (this.#queue[this.#head]?.isOver === true) this.#queue[this.#head++] = undefined;
    if (this.#head < 1024 && this.#head < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#begun = this.#begun.slice(this.#head);
    this.#head = 0;
  }
}
