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
import { StoreTime } from "../../domain/store-time.ts";
import type { RedisConnection } from "./connection.ts";
import { ownerIndexKey, sessionKey } from "./keys.ts";
import {
  createSessionScript,
  deleteSessionScript,
  finishSessionScript,
  indexSessionScript,
  keepAliveScript,
  pruneIndexScript,
  readSessionScript,
} from "./session-scripts.ts";

/**
 * A younger index entry without a session is kept: its session may be about to be created. Far longer than any command
 * takes.
 */
const minIndexAgeSeconds = 60;
/** How many sessions `list` reads at a time. */
const listChunk = 500;
/** After this many creations a sample of the owner's index is swept; see `#sweep`. */
const createsPerSweep = 16;
const sweepSample = 64;

/**
 * One hash for each session, whose TTL is the lease: nothing has to be swept, and the only clock is that of Redis. A
 * keep-alive is one command, one round trip, one key.
 */
export class RedisSessionStore implements SessionStore {
  readonly #redis: RedisConnection;
  readonly #terms: LeaseTerms;
  #creates = 0;

  constructor(redis: RedisConnection, terms: LeaseTerms) {
    this.#redis = redis;
    this.#terms = terms;
  }

  async create(session: NewSession): Promise<Session> {
    // First the index, then the session: a crash between the two leaves an entry too many, never one too few.
    const time = new StoreTime();
    await time.wait(this.#redis.run(indexSessionScript, session));
    const { leaseMs } = this.#terms;
    const created = await time.wait(this.#redis.run(createSessionScript, { ...session, leaseMs }));
    if (++this.#creates % createsPerSweep === 0) this.#inBackground(this.#sweep(session.owner));
    return { id: session.id, ...created };
  }

  async get(id: string, caller: Caller): Promise<Session | undefined> {
    const session = await this.#redis.run(readSessionScript, { id, caller });
    return session && { id, ...session };
  }

  async list(owner: string, libraryItemId?: string): Promise<string[]> {
    const time = new StoreTime();
    const { client } = this.#redis;
    const indexed = await time.wait(this.#redis.guard(client.zrange(ownerIndexKey(owner), "0", "-1")));
    const sessions: { id: string; createdAt: number }[] = [];
    for (let start = 0; start < indexed.length; start += listChunk) {
      const ids = indexed.slice(start, start + listChunk);
      const reads = ids.map((id) => client.hmget(sessionKey(id), "o", "c", "i"));
      const read = this.#redis.guard(Promise.all(reads));
      // Owners with many sessions wait longer: for the later ones each read has its own time limit.
      const fieldsOf = await (start === 0 ? time.wait(read) : read);
      const gone: string[] = [];
      for (const [index, [sessionOwner, createdAt, itemId]] of fieldsOf.entries()) {
        const id = ids[index]!;
        if (sessionOwner !== owner) gone.push(id);
        else if (libraryItemId === undefined || itemId === libraryItemId) {
          sessions.push({ id, createdAt: Number(createdAt) });
        }
      }
      if (gone.length > 0) this.#inBackground(this.#prune(owner, gone));
    }
    return sessions.sort((a, b) => a.createdAt - b.createdAt).map(({ id }) => id);
  }

  keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    return this.#redis.run(keepAliveScript, { id, caller, leaseMs: this.#terms.leaseMs, progress });
  }

  keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller): Promise<(Renewal | Refusal)[]> {
    const { leaseMs } = this.#terms;
    const inputs = heartbeats.map(({ id, progress }) => ({ id, caller, leaseMs, progress }));
    return this.#redis.runForEach("keepAliveMany", keepAliveScript, inputs);
  }

  finish(id: string, caller: Caller, state: FinalState, errorMessage?: string): Promise<Finish | Refusal> {
    return this.#redis.run(finishSessionScript, {
      id,
      caller,
      state,
      retentionMs: this.#terms.retentionMs,
      errorMessage,
    });
  }

  async delete(id: string, caller: Caller): Promise<boolean> {
    const owner = await this.#redis.run(deleteSessionScript, { id, caller });
    if (owner === undefined) return false;
    this.#inBackground(this.#prune(owner, [id]));
    return true;
  }

  #prune(owner: string, ids: readonly string[]): Promise<number> {
    return this.#redis.run(pruneIndexScript, { owner, ids, minAgeSeconds: minIndexAgeSeconds });
  }

  /**
   * Removes entries without a session from a random sample of an owner's index, so that an index never grows much
   * beyond the owner's sessions even if nothing lists them: four entries are checked for each one added.
   */
  async #sweep(owner: string): Promise<void> {
    const sample = [...new Set(await this.#redis.client.zrandmember(ownerIndexKey(owner), sweepSample))];
    const exists = await Promise.all(sample.map((id) => this.#redis.client.exists(sessionKey(id))));
    const gone = sample.filter((_, index) => exists[index] === 0);
    if (gone.length > 0) await this.#prune(owner, gone);
  }

  /** A later run does what this one fails to do. */
  #inBackground(work: Promise<unknown>): void {
    this.#redis.inBackground("index upkeep", work);
  }
}
