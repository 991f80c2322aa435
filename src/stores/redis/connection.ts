import { Cluster } from "ioredis";
import type { Logger } from "pino";
import { connectRedis, type RedisCredentials } from "./client.ts";
import { commandTimeoutMs } from "./reconnect-policy.ts";
import { type FailedScript, reasonOf, unavailable } from "./redis-errors.ts";
import { type RedisClient, runScript, runScriptForEach } from "./run-script.ts";
import type { Script } from "./scripts.ts";
import { Subscriber } from "./subscriber.ts";
import { TimeLimit } from "./time-limit.ts";
import { parseRedisUrl } from "./url.ts";

export interface RedisConnectionOptions {
  readonly log: Logger;
  readonly credentials?: RedisCredentials;
  /** Called for each answered round trip: its name, and the time from call to answer. */
  readonly observeRoundTrip?: (script: string, seconds: number) => void;
}

/** The connection that the stores of a backend share. Failures become ServiceErrors `downlease.store.unavailable`. */
export class RedisConnection {
  readonly client: RedisClient;
  readonly subscriber: Subscriber;
  readonly #limit = new TimeLimit(commandTimeoutMs);
  readonly #log: Logger;
  readonly #observe: ((script: string, seconds: number) => void) | undefined;
  #unreachableSince: number | undefined;

  /**
   * Connects in the background and never gives up.
   *
   * @throws Error when the URL is invalid
   */
  static open(url: string, options: RedisConnectionOptions): RedisConnection {
    return new RedisConnection(connectRedis(parseRedisUrl(url), options.credentials), options);
  }

  private constructor(client: RedisClient, { log, observeRoundTrip }: RedisConnectionOptions) {
    this.client = client;
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
    const startedAt = performance.now();
    return runScript(this.client, script, input, this.#limit).then(
      (output) => {
        this.#observe?.(script.name, (performance.now() - startedAt) / 1000);
        return output;
      },
      (error: unknown) => {
        throw unavailable(error, script);
      },
    );
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
