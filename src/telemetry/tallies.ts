import type { DurationSeries } from "./duration-histogram.ts";

/** The calls of one kind: their durations, and how many have not been reported yet. */
export class Tally {
  readonly #durations: Pick<DurationSeries<string>, "add">;
  readonly #report: (calls: number) => void;
  #calls = 0;

  /** @param report called at a flush with the number of calls since the one before */
  constructor(durations: Pick<DurationSeries<string>, "add">, report: (calls: number) => void) {
    this.#durations = durations;
    this.#report = report;
  }

  add(durationMs: number): void {
    this.#calls++;
    this.#durations.add(durationMs / 1000);
  }

  flush(): void {
    if (this.#calls === 0) return;
    this.#report(this.#calls);
    this.#calls = 0;
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
