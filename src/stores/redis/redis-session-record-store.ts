import {
  pageBounds,
  type SessionPageRequest,
  type SessionRecord,
  type SessionRecordPage,
  type SessionRecordStore,
} from "../../domain/session-record-store.ts";
import { Turns } from "../../domain/turns.ts";
import type { RedisConnection } from "./connection.ts";
import { KeyScan } from "./key-scan.ts";
import { pageOf } from "./key-walk.ts";
import { sessionKeys } from "./keys.ts";
import type { OwnerIndex } from "./owner-index.ts";
import { probeOwner } from "./probe.ts";
import { readRecordScript, recordClientScript } from "./session-record-scripts.ts";

const { stepLength } = pageBounds;

/** Walks over the keys with SCAN: no index of all sessions is kept, which each creation and each end would have to change. */
export class RedisSessionRecordStore implements SessionRecordStore {
  readonly #redis: RedisConnection;
  readonly #index: OwnerIndex;
  readonly #turns = new Turns();

  constructor(redis: RedisConnection, index: OwnerIndex) {
    this.#redis = redis;
    this.#index = index;
  }

  async page(request: SessionPageRequest): Promise<SessionRecordPage> {
    const { owner, matches = () => true } = request;
    const walk = {
      scan: new KeyScan(this.#redis, owner === undefined ? sessionKeys : { owner }),
      turns: this.#turns,
      stepLength,
      isFiltered: request.matches !== undefined,
      read: async (ids: readonly string[]) => {
        const found = await this.#read(ids);
        if (owner !== undefined) this.#removeGone(owner, ids, found);
        return found.map((session) => (isOf(session, owner) && matches(session) ? session : undefined));
      },
    };
    const { values: sessions, cursor } = await pageOf(walk, request.cursor, request.maxSessions);
    return { sessions, ...(cursor !== undefined && { cursor }) };
  }

  async find(ids: readonly string[]): Promise<(SessionRecord | undefined)[]> {
    return (await this.#turns.runEach(ids, stepLength, (some) => this.#read(some))).flat();
  }

  async recordClients(addresses: ReadonlyMap<string, string>): Promise<void> {
    const inputs = [...addresses].map(([id, address]) => ({ id, address }));
    await this.#turns.runEach(inputs, stepLength, (some) =>
      this.#redis.runForEach("recordClients", recordClientScript, some),
    );
  }

  async #read(ids: readonly string[]): Promise<(SessionRecord | undefined)[]> {
    const inputs = ids.map((id) => ({ id }));
    const records = await this.#redis.runForEach("readRecords", readRecordScript, inputs);
    return records.map((record, index) => record && { id: ids[index]!, ...record });
  }

  #removeGone(owner: string, ids: readonly string[], found: readonly (SessionRecord | undefined)[]): void {
    const gone = ids.filter((_, index) => found[index]?.owner !== owner).map((id) => ({ id }));
    if (gone.length > 0) void this.#index.remove(owner, gone);
  }
}

function isOf(session: SessionRecord | undefined, owner: string | undefined): session is SessionRecord {
  if (session === undefined) return false;
  return owner === undefined ? session.owner !== probeOwner : session.owner === owner;
}
