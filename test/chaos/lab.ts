import { setTimeout as delay } from "node:timers/promises";
import { startHaproxy } from "../support/haproxy.ts";
import type { Content } from "./content.ts";
import { now } from "./history.ts";
import type { Recovery } from "./readiness.ts";
import { type Replica, startReplica } from "./replicas.ts";

/** A span of time, in milliseconds since the epoch. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface LabOptions {
  readonly content: Content;
  /** Flags that every replica gets. */
  readonly flags: readonly string[];
  /** How long the faults go on at least, in milliseconds. */
  readonly runMs: number;
  /** Ends the run early. */
  readonly signal: AbortSignal;
  /** Is given a line for each thing that happens. */
  progress(line: string): void;
}

/** What a scenario builds its servers with, and what it does to them. All that it starts ends with it. */
export class Lab implements AsyncDisposable {
  /** Whatever is started is closed with it. */
  readonly stack = new AsyncDisposableStack();
  readonly replicas: Replica[] = [];
  /** `http://host:port` that clients call. */
  url = "";
  /** Times of acknowledgements that the store itself may lose, as documented. */
  readonly losable: Span[] = [];
  readonly recoveries: Recovery[] = [];
  readonly #options: LabOptions;
  #origin = now();

  constructor(options: LabOptions) {
    this.#options = options;
  }

  /** Starts replicas, with HAProxy in front when there are several. */
  async startReplicas(argsOfEach: readonly (readonly string[])[]): Promise<Replica[]> {
    const { content, flags } = this.#options;
    const args = ["--content-root", content.root, ...flags];
    const starting = argsOfEach.map((own) => startReplica([...args, ...own], this.stack));
    this.replicas.push(...(await Promise.all(starting)));
    const [first] = this.replicas;
    if (this.replicas.length === 1) this.url = first!.url;
    else this.url = this.stack.use(await startHaproxy(this.replicas.map(({ address }) => address))).url;
    return this.replicas;
  }

  /** The clients begin. */
  begin(): void {
    this.#origin = now();
  }

  get origin(): number {
    return this.#origin;
  }

  /** Whether there is time for more faults. */
  get goesOn(): boolean {
    return !this.#options.signal.aborted && now() - this.#origin < this.#options.runMs;
  }

  /** @throws AbortError when the run is ended early */
  async pause(seconds: number): Promise<void> {
    await delay(seconds * 1000, undefined, { signal: this.#options.signal });
  }

  /** Something is done to a server. Recoveries that were awaited until now are no longer. */
  fault(what: string): number {
    const at = this.#say(what);
    for (const [index, recovery] of this.recoveries.entries()) {
      if (recovery.to > at) this.recoveries[index] = { ...recovery, to: at };
    }
    return at;
  }

  /** The fault is over: from now on every replica must serve within this time. */
  healed(what: string, withinSeconds: number): void {
    const from = this.#say(what);
    this.recoveries.push({ what, from, withinMs: withinSeconds * 1000, to: Number.POSITIVE_INFINITY });
  }

  /** What was acknowledged in this time the store may lose. */
  mayLose(from: number, to: number): void {
    this.losable.push({ from, to });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }

  #say(what: string): number {
    const at = now();
    this.#options.progress(`${((at - this.#origin) / 1000).toFixed(1).padStart(6)} s  ${what}`);
    return at;
  }
}
