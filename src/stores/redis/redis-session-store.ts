import type { Logger } from "pino";
import type {
  Caller,
  FinalState,
  Finish,
  LeaseTerms,
  NewSession,
  Refusal,
  Renewal,
  Session,
} from "../../domain/session.ts";
import type { Heartbeat, SessionStore } from "../../domain/session-store.ts";
import { commandTimeout, connectRedis, parseRedisUrl } from "./client.ts";
import { ownerIndexKey, sessionKey } from "./keys.ts";
import { reasonOf, unavailable } from "./redis-errors.ts";
import { type RedisClient, runScript, runScriptForEach } from "./run-script.ts";
import {
  createSessionScript,
  deleteSessionScript,
  finishSessionScript,
  indexSessionScript,
  keepAliveScript,
  pruneIndexScript,
  readSessionScript,
  type Script,
} from "./scripts.ts";
import { TimeLimit } from "./time-limit.ts";

/**
 * An index entry without a session is left alone for this long: the session may be about to be created. Far
 * longer than any command may take.
 */
const leastIndexAgeSeconds = 60;
/** Sessions looked up at a time by `list`. */
const listChunk = 500;
/** Every so many creations a sample of the owner's index is swept; see `#sweep`. */
const createsPerSweep = 16;
const sweepSample = 64;

export interface RedisSessionStoreOptions {
  readonly url: string;
  readonly terms: LeaseTerms;
  readonly log: Logger;
  /** Told of every answered script: its name and the time from call to answer. */
  readonly observeRoundTrip?: (script: string, seconds: number) => void;
}

/**
 * Sessions in Redis 7 or newer: single, Sentinel or Cluster. One hash a session, whose TTL is the lease, so that
 * nothing sweeps and no clock of ours counts. A keep-alive is one command, one round trip, one key.
 */
export class RedisSessionStore implements SessionStore {
  readonly #client: RedisClient;
  readonly #limit = new TimeLimit(commandTimeout);
  readonly #terms: LeaseTerms;
  readonly #log: Logger;
  readonly #observe: ((script: string, seconds: number) => void) | undefined;
  #creates = 0;
  #unreachableSince: number | undefined;

  /**
   * Connects in the background and never gives up.
   *
   * @throws Error when the URL can't be understood
   */
  static connect(options: RedisSessionStoreOptions): RedisSessionStore {
    return new RedisSessionStore(connectRedis(parseRedisUrl(options.url)), options);
  }

  private constructor(client: RedisClient, { terms, log, observeRoundTrip }: RedisSessionStoreOptions) {
    this.#client = client;
    this.#terms = terms;
    this.#log = log;
    this.#observe = observeRoundTrip;
    client.on("error", (error: Error) => this.#lost(error));
    client.on("ready", () => this.#found());
  }

  async create(session: NewSession): Promise<Session> {
    // First the index, then the session: a crash between the two leaves an entry too many, never one too few.
    await this.#run(indexSessionScript, session);
    const created = await this.#run(createSessionScript, { ...session, leaseMs: this.#terms.leaseMs });
    if (++this.#creates % createsPerSweep === 0) this.#inBackground(this.#sweep(session.owner));
    return { id: session.id, ...created };
  }

  async get(id: string, caller: Caller): Promise<Session | undefined> {
    const session = await this.#run(readSessionScript, { id, caller });
    return session && { id, ...session };
  }

  async list(owner: string, libraryItemId?: string): Promise<string[]> {
    const indexed = await this.#guard(this.#client.zrange(ownerIndexKey(owner), "0", "-1"));
    const found: { id: string; createdAt: number }[] = [];
    for (let start = 0; start < indexed.length; start += listChunk) {
      const ids = indexed.slice(start, start + listChunk);
      const facts = await this.#guard(
        Promise.all(ids.map((id) => this.#client.hmget(sessionKey(id), "o", "c", "i"))),
      );
      const gone: string[] = [];
      for (const [index, [sessionOwner, createdAt, itemId]] of facts.entries()) {
        const id = ids[index]!;
        if (sessionOwner !== owner) gone.push(id);
        else if (libraryItemId === undefined || itemId === libraryItemId) {
          found.push({ id, createdAt: Number(createdAt) });
        }
      }
      if (gone.length > 0) this.#inBackground(this.#prune(owner, gone));
    }
    return found.sort((a, b) => a.createdAt - b.createdAt).map(({ id }) => id);
  }

  keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    return this.#run(keepAliveScript, { id, caller, leaseMs: this.#terms.leaseMs, progress });
  }

  async keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller): Promise<(Renewal | Refusal)[]> {
    const startedAt = performance.now();
    const { leaseMs } = this.#terms;
    const inputs = heartbeats.map(({ id, progress }) => ({ id, caller, leaseMs, progress }));
    const results = await this.#guard(runScriptForEach(this.#client, keepAliveScript, inputs, this.#limit));
    this.#observe?.("keepAliveMany", (performance.now() - startedAt) / 1000);
    return results;
  }

  finish(id: string, caller: Caller, state: FinalState, errorMessage?: string): Promise<Finish | Refusal> {
    return this.#run(finishSessionScript, {
      id,
      caller,
      state,
      retentionMs: this.#terms.retentionMs,
      errorMessage,
    });
  }

  async delete(id: string, caller: Caller): Promise<boolean> {
    const owner = await this.#run(deleteSessionScript, { id, caller });
    if (owner === undefined) return false;
    this.#inBackground(this.#prune(owner, [id]));
    return true;
  }

  async ping(): Promise<void> {
    await this.#guard(this.#client.ping());
  }

  async close(): Promise<void> {
    this.#client.disconnect();
  }

  #run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    const startedAt = performance.now();
    return runScript(this.#client, script, input, this.#limit).then(
      (output) => {
        this.#observe?.(script.name, (performance.now() - startedAt) / 1000);
        return output;
      },
      (error: unknown) => {
        throw unavailable(error);
      },
    );
  }

  async #guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw unavailable(error);
    }
  }

  #prune(owner: string, ids: readonly string[]): Promise<number> {
    return this.#run(pruneIndexScript, { owner, ids, leastAgeSeconds: leastIndexAgeSeconds });
  }

  /**
   * Looks at a random sample of an owner's index and takes out what is gone, so that an index never grows much
   * beyond the living sessions, even when nobody lists: four entries are looked at for each one added.
   */
  async #sweep(owner: string): Promise<void> {
    const sample = [...new Set(await this.#client.zrandmember(ownerIndexKey(owner), sweepSample))];
    const exists = await Promise.all(sample.map((id) => this.#client.exists(sessionKey(id))));
    const gone = sample.filter((_, index) => exists[index] === 0);
    if (gone.length > 0) await this.#prune(owner, gone);
  }

  /** Upkeep that nobody waits for; what fails is done by a later turn. */
  #inBackground(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#log.debug({ reason: reasonOf(error) }, "index upkeep failed"));
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
    this.#inBackground(this.#warnOfEviction());
  }

  /** Under any policy but noeviction a full Redis drops leases that are still held. */
  async #warnOfEviction(): Promise<void> {
    const policy = /maxmemory_policy:(\S+)/.exec(await this.#client.info("memory"))?.[1];
    if (policy !== undefined && policy !== "noeviction") {
      this.#log.warn({ policy }, "Redis may evict sessions; set maxmemory-policy to noeviction");
    }
  }
}
