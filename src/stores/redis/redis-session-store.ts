import type { LeaseCounts } from "../../domain/lease-counts.ts";
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
import { sessionKey } from "./keys.ts";
import { OwnerIndex } from "./owner-index.ts";
import {
  createSessionScript,
  deleteSessionScript,
  finishSessionScript,
  keepAliveScript,
  readSessionScript,
} from "./session-scripts.ts";

/**
 * One hash for each session, whose TTL is the lease: nothing has to be swept, and the only clock is that of Redis. A
 * keep-alive is one command, one round trip, one key.
 */
export class RedisSessionStore implements SessionStore {
  readonly #redis: RedisConnection;
  readonly #terms: LeaseTerms;
  /** Which sessions owners have. */
  readonly index: OwnerIndex;
  readonly #counts: LeaseCounts;

  constructor(redis: RedisConnection, terms: LeaseTerms, counts: LeaseCounts) {
    this.#redis = redis;
    this.#terms = terms;
    this.index = new OwnerIndex(redis, terms);
    this.#counts = counts;
  }

  async create(session: NewSession): Promise<Session> {
    const { leaseMs } = this.#terms;
    const time = new StoreTime();
    // First the place, then the session: a crash between the two leaves a place too many, never one too few.
    const place = await this.index.take(session, time);
    const creation = this.#redis.runReplicated(createSessionScript, { ...session, leaseMs, place });
    // What is on too few replicas is not acknowledged.
    const confirmed = this.#redis.waitsForReplicas ? this.index.confirm(session, place) : undefined;
    const [{ isNew, session: created }] = await time.wait(Promise.all([creation, confirmed]));
    if (isNew) this.#counts.granted++;
    else if (created.state === "ACTIVE") this.#counts.renewed++;
    return { id: session.id, ...created };
  }

  async get(id: string, caller: Caller): Promise<Session | undefined> {
    const session = await this.#redis.run(readSessionScript, { id, caller });
    return session && { id, ...session };
  }

  async list(owner: string, libraryItemId?: string): Promise<string[]> {
    const { client } = this.#redis;
    const createdAt = new Map<string, number>();
    await this.index.forEachPage(owner, new StoreTime(), async (ids) => {
      const reads = ids.map((id) => client.hmget(sessionKey(id), "o", "c", "i"));
      const gone: { id: string }[] = [];
      for (const [index, fields] of (await this.#redis.guard(Promise.all(reads))).entries()) {
        const id = ids[index]!;
        const [sessionOwner, time, itemId] = fields;
        if (sessionOwner !== owner) gone.push({ id });
        else if (libraryItemId === undefined || itemId === libraryItemId) createdAt.set(id, Number(time));
      }
      if (gone.length > 0) void this.index.remove(owner, gone);
    });
    return [...createdAt].sort(([, a], [, b]) => a - b).map(([id]) => id);
  }

  keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    return this.#redis.run(keepAliveScript, { id, caller, leaseMs: this.#terms.leaseMs, progress });
  }

  keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller): Promise<(Renewal | Refusal)[]> {
    const { leaseMs } = this.#terms;
    const inputs = heartbeats.map(({ id, progress }) => ({ id, caller, leaseMs, progress }));
    return this.#redis.runForEach("keepAliveMany", keepAliveScript, inputs);
  }

  async finish(
    id: string,
    caller: Caller,
    state: FinalState,
    errorMessage?: string,
  ): Promise<Finish | Refusal> {
    const result = await this.#redis.runReplicated(finishSessionScript, {
      id,
      caller,
      state,
      retentionMs: this.#terms.retentionMs,
      errorMessage,
    });
    if (result.outcome === "finished") this.#counts[state === "ERROR" ? "failed" : "canceled"]++;
    return result;
  }

  async delete(id: string, caller: Caller): Promise<boolean> {
    const time = new StoreTime();
    const deleted = await time.wait(this.#redis.runReplicated(deleteSessionScript, { id, caller }));
    if (deleted === undefined) return false;
    const { owner, place, wasActive } = deleted;
    if (wasActive) this.#counts.deleted++;
    // So that its owner may create another one at once, on any replica. The session is deleted whether this works or not.
    await time.wait(this.index.remove(owner, [{ id, place }])).catch(() => {});
    return true;
  }
}
