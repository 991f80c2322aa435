import type { Logger } from "pino";
import { commandTimeout, connectRedis } from "./client.ts";
import { reasonOf, unavailable } from "./redis-errors.ts";
import { type RedisClient, runScript, runScriptForEach } from "./run-script.ts";
import type { Script } from "./scripts.ts";
import { Subscriber } from "./subscriber.ts";
import { TimeLimit } from "./time-limit.ts";
import { parseRedisUrl } from "./url.ts";

export interface RedisConnectionOptions {
  readonly log: Logger;
  /** Told of every answered script: its name and the time from call to answer. */
  readonly observeRoundTrip?: (script: string, seconds: number) => void;
}

/** The way to Redis that the stores of a process share. Whatever fails on it is `downlease.store.unavailable`. */
export class RedisConnection {
  readonly client: RedisClient;
  readonly subscriber: Subscriber;
  readonly #limit = new TimeLimit(commandTimeout);
  readonly #log: Logger;
  readonly #observe: ((script: string, seconds: number) => void) | undefined;
  #unreachableSince: number | undefined;

  /**
   * Connects in the background and never gives up.
   *
   * @throws Error when the URL is invalid
   */
  static open(url: string, options: RedisConnectionOptions): RedisConnection {
    return new RedisConnection(connectRedis(parseRedisUrl(url)), options);
  }

  private constructor(client: RedisClient, { log, observeRoundTrip }: RedisConnectionOptions) {
    this.client = client;
    this.subscriber = new Subscriber(client, log);
    this.#log = log;
    this.#observe = observeRoundTrip;
    client.on("error", (error: Error) => this.#lost(error));
    client.on("ready", () => this.#found());
  }

  run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    const startedAt = performance.now();
    return runScript(this.client, script, input, this.#limit).then(
      (output) => {
        this.#observe?.(script.name, (performance.now() - startedAt) / 1000);
        return output;
      },
      (error: unknown) => {
        throw unavailable(error);
      },
    );
  }

  /** @param name what the round trip is called */
  async runForEach<Input, Output>(
    name: string,
    script: Script<Input, Output>,
    inputs: readonly Input[],
  ): Promise<Output[]> {
    const startedAt = performance.now();
    const outputs = await this.guard(runScriptForEach(this.client, script, inputs, this.#limit));
    this.#observe?.(name, (performance.now() - startedAt) / 1000);
    return outputs;
  }

  /** For commands of the client. */
  async guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Upkeep that nobody waits for; what fails is done by a later turn. */
  inBackground(what: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#log.debug({ reason: reasonOf(error) }, `${what} failed`));
  }

  async ping(): Promise<void> {
    await this.guard(this.client.ping());
  }

  close(): void {
    this.subscriber.close();
    this.client.disconnect();
  }

  #lost(error: Error): void {
    if (this.#unreachableSince !== undefined) return;
    this.#unreachableSince = Date.now();
    this.#log.error(
      { reason: reasonOf(error) },
      "Redis can't be reached; calls are answered with service_unavailable",
    );
  }

  #found(): void {
    if (this.#unreachableSince !== undefined) {
      this.#log.info({ downMs: Date.now() - this.#unreachableSince }, "Redis is back");
      this.#unreachableSince = undefined;
    }
    this.inBackground("the look at the eviction policy", this.#warnOfEviction());
  }

  /** Under any policy but noeviction a full Redis drops leases that are still held. */
  async #warnOfEviction(): Promise<void> {
    const policy = /maxmemory_policy:(\S+)/.exec(await this.client.info("memory"))?.[1];
    if (policy !== undefined && policy !== "noeviction") {
      this.#log.warn({ policy }, "Redis may evict sessions; set maxmemory-policy to noeviction");
    }
  }
}
