/** What has a limited time. */
export interface Limited {
  readonly isOver: boolean;
  /** Told when its time is over and it is not. */
  timedOut(): void;
}

/** Pause between two looks for what has been under way for too long. */
const lookMs = 50;

/**
 * A limit that many share. One timer does for all: a timer each is a tenth of what a command costs. They are kept in
 * a queue, because they end in the order in which they began, but for rare exceptions; a map of what comes and goes so
 * fast would keep V8's garbage collector from freeing what it has held (an old table refers to its successor).
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
    this.#timer ??= setTimeout(this.#look, lookMs);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const latest = performance.now() - this.#ms;
    for (let index = this.#head; index < this.#queue.length && this.#begun[index]! <= latest; index++) {
      const limited = this.#queue[index]!;
      if (!limited.isOver) limited.timedOut();
    }
    this.#dropOver();
    if (this.#head < this.#queue.length) this.#timer = setTimeout(this.#look, lookMs);
  };

  #dropOver(): void {
    while (this.#queue[this.#head]?.isOver === true) this.#queue[this.#head++] = undefined;
    if (this.#head < 1024 && this.#head < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#begun = this.#begun.slice(this.#head);
    this.#head = 0;
  }
}
