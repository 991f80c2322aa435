/** A tally is flushed when it holds this many durations. */
const maxKept = 1000;

/**
 * Durations of calls of one kind until the next collection. To find a metric by its labels costs more than to count,
 * so it is done for many calls at a time.
 */
export class Tally {
  readonly #record: (durationsMs: readonly number[]) => void;
  readonly #durationsMs: number[] = [];

  constructor(record: (durationsMs: readonly number[]) => void) {
    this.#record = record;
  }

  add(durationMs: number): void {
    this.#durationsMs.push(durationMs);
    if (this.#durationsMs.length === maxKept) this.flush();
  }

  flush(): void {
    if (this.#durationsMs.length === 0) return;
    this.#record(this.#durationsMs);
    this.#durationsMs.length = 0;
  }
}

type ByOutcome = Map<string, Tally>;

/** A tally for each kind of call: by operation, protocol and outcome. */
export class Tallies {
  readonly #make: (operation: string, protocol: string, outcome: string) => Tally;
  readonly #byOperation = new Map<string, Map<string, ByOutcome>>();

  constructor(make: (operation: string, protocol: string, outcome: string) => Tally) {
    this.#make = make;
  }

  of(operation: string, protocol: string, outcome: string): Tally {
    return (
      this.#byOperation.get(operation)?.get(protocol)?.get(outcome) ?? this.#add(operation, protocol, outcome)
    );
  }

  flush(): void {
    for (const byProtocol of this.#byOperation.values()) {
      for (const byOutcome of byProtocol.values()) for (const tally of byOutcome.values()) tally.flush();
    }
  }

  #add(operation: string, protocol: string, outcome: string): Tally {
    const byProtocol = this.#byOperation.get(operation) ?? new Map<string, ByOutcome>();
    this.#byOperation.set(operation, byProtocol);
    const byOutcome: ByOutcome = byProtocol.get(protocol) ?? new Map();
    byProtocol.set(protocol, byOutcome);
    const tally = this.#make(operation, protocol, outcome);
    byOutcome.set(outcome, tally);
    return tally;
  }
}
