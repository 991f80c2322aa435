import { Cluster } from "ioredis";
import type { Logger } from "pino";
import type { TraceStore } from "../../domain/trace.ts";
import { connectRedis, type RedisCredentials } from "./client.ts";
import { commandTimeoutMs } from "./reconnect-policy.ts";
import { type FailedScript, reasonOf, unavailable } from "./redis-errors.ts";
import { ReplicatedWrites } from "./replicated-writes.ts";
import { type RedisClient, runScript, runScriptForEach, startScript } from "./run-script.ts";
import type { Script } from "./scripts.ts";
import { Subscriber } from "./subscriber.ts";
import { TimeLimit } from "./time-limit.ts";
import { parseRedisUrl } from "./url.ts";

export interface RedisConnectionOptions {
  readonly log: Logger;
  readonly credentials?: RedisCredentials;
  /** How many replicas must have a creation or an end of a session before it is acknowledged; 0 by default. */
  readonly waitReplicas?: number | undefined;
  /** Called for each answered round trip: its name, and the time from call to answer. */
  readonly observeRoundTrip?: (script: string, seconds: number) => void;
  /** Runs each round trip; left out while no traces are made. */
  readonly trace?: TraceStore | undefined;
}

/** The connection that the stores of a backend share. Failures become ServiceErrors `downlease.store.unavailable`. */
export class RedisConnection {
  readonly client: RedisClient;
  readonly subscriber: Subscriber;
  readonly #limit = new TimeLimit(commandTimeoutMs);
  readonly #log: Logger;
  readonly #observe: ((script: string, seconds: number) => void) | undefined;
  /** Undefined when no replica has to have a change. */
  readonly #replicated: ReplicatedWrites | undefined;
  #unreachableSince: number | undefined;

  /**
   * Connects in the background and never gives up.
   *
   * @throws Error when the URL is invalid
   */
  static open(url: string, options: RedisConnectionOptions): RedisConnection {
    const { credentials, waitReplicas: replicas = 0, observeRoundTrip, trace } = options;
    const connect = () => connectRedis(parseRedisUrl(url), credentials);
    const observeWait = (seconds: number) => observeRoundTrip?.("WAIT", seconds);
    const replicated =
      replicas > 0 ? new ReplicatedWrites({ client: connect(), replicas, observeWait }) : undefined;
    return trace === undefined
      ? new RedisConnection(connect(), replicated, options)
      : new TracedRedisConnection(connect(), replicated, options, trace);
  }

  protected constructor(
    client: RedisClient,
    replicated: ReplicatedWrites | undefined,
    { log, observeRoundTrip }: RedisConnectionOptions,
  ) {
    this.client = client;
    this.#replicated = replicated;
    this.subscriber = new Subscriber(client, log);
    this.#log = log;
    this.#observe = observeRoundTrip;
    client.on("error", (error: Error) => this.#disconnected(error));
    client.once("ready", () => {
      // What replaced one connection is to replace the other: it may lead to another server.
      client.on("ready", () => this.subscriber.reconnect());
    });
    client.on("ready", () => this.#connected());
    if (client instanceof Cluster) client.on("-node", (node) => this.subscriber.leave(node));
  }

  run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    // Every keep-alive passes here: one promise, not one behind another.
    return new Promise((resolve, reject) => {
      const startedAt = performance.now();
      const replied = (output: Output) => {
        this.#observe?.(script.name, (performance.now() - startedAt) / 1000);
        resolve(output);
      };
      const failed = (error: unknown) => reject(unavailable(error, script));
      try {
        startScript(this.client, script, input, this.#limit, replied, failed);
      } catch (error) {
        failed(error);
      }
    });
  }

  get waitsForReplicas(): boolean {
    return this.#replicated !== undefined;
  }

  /** As `run`; resolves when as many replicas have the change as are configured. */
  async runReplicated<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    if (this.#replicated === undefined) return this.run(script, input);
    const startedAt = performance.now();
    const output = await this.tryReplicated(script, input);
    this.#observe?.(script.name, (performance.now() - startedAt) / 1000);
    return output;
  }

  /** As `runReplicated`, but not observed. */
  tryReplicated<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    if (this.#replicated === undefined) return this.try(script, input);
    return this.guard(this.#replicated.run(script, input), script);
  }

  /** As `run`, but not observed. */
  try<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    return this.guard(runScript(this.client, script, input, this.#limit), script);
  }

  /** @param name of the round trip in the metrics */
  async runForEach<Input, Output>(
    name: string,
    script: Script<Input, Output>,
    inputs: readonly Input[],
  ): Promise<Output[]> {
    const startedAt = performance.now();
    const outputs = await this.guard(runScriptForEach(this.client, script, inputs, this.#limit), script);
    this.#observe?.(name, (performance.now() - startedAt) / 1000);
    return outputs;
  }

  /** Wraps work that uses `client` itself. */
  async guard<T>(work: Promise<T>, script?: FailedScript): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw unavailable(error, script);
    }
  }

  /** Does not wait for the work; a failure is only logged. */
  inBackground(name: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#log.debug({ reason: reasonOf(error) }, `${name} failed`));
  }

  close(): void {
    this.subscriber.close();
    this.client.disconnect();
    this.#replicated?.close();
  }

  #disconnected(error: Error): void {
    if (this.#unreachableSince !== undefined) return;
    this.#unreachableSince = Date.now();
    this.#log.error(
      { reason: reasonOf(error) },
      "Redis can't be reached; calls are answered with service_unavailable",
    );
  }

  #connected(): void {
    if (this.#unreachableSince !== undefined) {
      this.#log.info({ downMs: Date.now() - this.#unreachableSince }, "Redis is back");
      this.#unreachableSince = undefined;
    }
    this.inBackground("reading the eviction policy", this.#warnOfEviction());
  }

  /** With any policy but noeviction, a full Redis drops leases that are still held. */
  async #warnOfEviction(): Promise<void> {
    const policy = /maxmemory_policy:(\S+)/.exec(await this.client.info("memory"))?.[1];
    if (policy !== undefined && policy !== "noeviction") {
      this.#log.warn({ policy }, "Redis may evict sessions; set maxmemory-policy to noeviction");
    }
  }
}

class TracedRedisConnection extends RedisConnection {
  readonly #trace: TraceStore;

  constructor(
    client: RedisClient,
    replicated: ReplicatedWrites | undefined,
    options: RedisConnectionOptions,
    trace: TraceStore,
  ) {
    super(client, replicated, options);
    this.#trace = trace;
  }

  override run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    return this.#trace(script.name, () => super.run(script, input));
  }

  /** The commands have just been sent. Those without a script are plain ones that were sent together. */
  override guard<T>(work: Promise<T>, script?: FailedScript): Promise<T> {
    return this.#trace(script?.name ?? "PIPELINE", () => super.guard(work, script));
  }
}
