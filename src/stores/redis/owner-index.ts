import { hasRoom, type LeaseTerms, type NewSession, tooManySessions } from "../../domain/session.ts";
import type { StoreTime } from "../../domain/store-time.ts";
import { Turns } from "../../domain/turns.ts";
import type { RedisConnection } from "./connection.ts";
import { ownerIndexKey, sessionKey } from "./keys.ts";
import { type IndexedSession, settleIndexScript, takePlaceScript } from "./session-scripts.ts";

/** How long a place is held for a session that is about to be created. Far longer than a creation may take. */
const heldMs = 5_000;
/** An index is kept this long after its owner's last creation: the sessions of a principal who never comes back. */
export const indexKeptMs = 90 * 24 * 60 * 60 * 1_000;
/** How many sessions are looked at together. */
const pageLength = 500;
/** How many pages a creation looks at for a place; the next one looks on. */
const maxPages = 10;
/** After this many creations some places are looked at; see `#sweep`. */
const createsPerSweep = 16;
const sweepLength = 64;

/**
 * Which sessions an owner has: their places, of which the quota allows so many. A session and the index of its owner are
 * two keys on two slots of a cluster, and sessions expire without a word. So the index may name sessions that are gone.
 * They do not count: before a creation is refused, every place whose session may be gone is looked at. What was found to
 * exist is not looked at again before it could expire, so that refusals stay cheap.
 */
export class OwnerIndex {
  readonly #redis: RedisConnection;
  readonly #terms: LeaseTerms;
  /** The search for a place, by owner, while it runs: creations that wait for one share it. */
  readonly #searches = new Map<string, Promise<boolean>>();
  /** Pages of long lists. */
  readonly #turns = new Turns();
  #creates = 0;

  constructor(redis: RedisConnection, terms: LeaseTerms) {
    this.#redis = redis;
    this.#terms = terms;
  }

  /**
   * Takes a place for a session that is about to be created. A creation that fails afterwards leaves it to the next
   * search for a place.
   *
   * @throws ServiceError `downlease.session.too_many`
   */
  async take({ owner, id }: NewSession, time: StoreTime): Promise<string> {
    const { maxSessionsPerPrincipal: max = 0 } = this.#terms;
    if (++this.#creates % createsPerSweep === 0) void this.#inBackground(this.#sweep(owner));
    for (let searches = 0; ; searches++) {
      const place = await time.wait(
        this.#redis.run(takePlaceScript, { owner, id, max, keptMs: indexKeptMs }),
      );
      if (place !== undefined) return place;
      // Others may have been faster than this creation, to every place that was found.
      if (searches === maxPages || !(await time.wait(this.#search(owner))))
        throw tooManySessions(this.#terms);
    }
  }

  /** Resolves when as many replicas as are configured have the place. */
  async confirm({ owner, id }: NewSession, place: string): Promise<void> {
    await this.#redis.runReplicated(takePlaceScript, { owner, id, max: 0, keptMs: indexKeptMs, place });
  }

  /** Removes places of sessions that are gone. Never rejects: a later look does what this one fails to do. */
  remove(owner: string, sessions: readonly Omit<IndexedSession, "expiresAt">[]): Promise<void> {
    const gone = sessions.map((session) => ({ ...session, expiresAt: 0 }));
    return this.#inBackground(this.#settle(owner, gone, 0));
  }

  /**
   * Reads something about every session that the index names, some sessions at a time.
   *
   * @param read called for ids, of which none is gone before and some may come twice
   */
  async forEachPage(owner: string, time: StoreTime, read: (ids: string[]) => Promise<void>): Promise<void> {
    const key = ownerIndexKey(owner);
    const scan = async (cursor: string): Promise<[cursor: string, ids: string[]]> => {
      const scanned = this.#redis.guard(this.#redis.client.zscan(key, cursor, "COUNT", pageLength));
      const [next, entries] = await scanned;
      return [next, entries.filter((_, index) => index % 2 === 0)];
    };
    let [cursor, ids] = await time.wait(scan("0"));
    if (cursor === "0" && ids.length <= pageLength) return time.wait(read(ids));
    // Owners with many sessions wait longer: each page has a time limit of its own.
    for (;;) {
      await this.#turns.run(() => read(ids));
      if (cursor === "0") return;
      [cursor, ids] = await scan(cursor);
    }
  }

  #search(owner: string): Promise<boolean> {
    let search = this.#searches.get(owner);
    if (search === undefined) {
      search = this.#freePlaces(owner).finally(() => this.#searches.delete(owner));
      this.#searches.set(owner, search);
    }
    return search;
  }

  /** Looks at places until there is one to take. False when there is none. */
  async #freePlaces(owner: string): Promise<boolean> {
    let { taken, unsure } = await this.#settle(owner, [], pageLength);
    for (let page = 0; page < maxPages && !hasRoom(taken, this.#terms) && unsure.length > 0; page++) {
      const sessions = await this.#lookAt(unsure);
      ({ taken, unsure } = await this.#settle(owner, sessions, pageLength));
    }
    return hasRoom(taken, this.#terms);
  }

  /**
   * Looks at some places, so that an index never grows much beyond the owner's sessions even if there is no quota: four
   * are looked at for each one taken.
   */
  async #sweep(owner: string): Promise<void> {
    const { unsure } = await this.#settle(owner, [], sweepLength);
    if (unsure.length > 0) await this.#settle(owner, await this.#lookAt(unsure), 0);
  }

  #settle(owner: string, sessions: readonly IndexedSession[], length: number) {
    return this.#redis.run(settleIndexScript, { owner, sessions, heldMs, length });
  }

  async #lookAt(ids: readonly string[]): Promise<IndexedSession[]> {
    const { client } = this.#redis;
    const expiries = await this.#redis.guard(
      Promise.all(ids.map((id) => client.pexpiretime(sessionKey(id)))),
    );
    // Redis answers -2 for a key that does not exist.
    return ids.map((id, index) => ({ id, expiresAt: Math.max(0, expiries[index]!) }));
  }

  async #inBackground(work: Promise<unknown>): Promise<void> {
    this.#redis.inBackground("index upkeep", work);
    await work.catch(() => {});
  }
}
