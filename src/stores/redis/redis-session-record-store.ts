import {
  pageBounds,
  type SessionPageRequest,
  type SessionRecord,
  type SessionRecordPage,
  type SessionRecordStore,
} from "../../domain/session-record-store.ts";
import { Turns } from "../../domain/turns.ts";
import type { RedisConnection } from "./connection.ts";
import { formatPosition, KeyScan, type ScanPosition } from "./key-scan.ts";
import type { OwnerIndex } from "./owner-index.ts";
import { probeOwner } from "./probe.ts";
import { readRecordScript, recordClientScript } from "./session-record-scripts.ts";

const { stepLength, maxSteps, maxMs } = pageBounds;
/** Redis may find more ids than a step asks for: so many less than there is room for are asked for. */
const surplus = 16;

interface Walk extends Pick<SessionPageRequest, "owner" | "matches"> {
  readonly scan: KeyScan;
}

interface Portion {
  readonly sessions: readonly SessionRecord[];
  readonly next: ScanPosition | undefined;
}

/** Walks over the keys with SCAN: no index of all sessions is kept, which each creation and each end would have to change. */
export class RedisSessionRecordStore implements SessionRecordStore {
  readonly #redis: RedisConnection;
  readonly #index: OwnerIndex;
  readonly #turns = new Turns();

  constructor(redis: RedisConnection, index: OwnerIndex) {
    this.#redis = redis;
    this.#index = index;
  }

  async page({ cursor, owner, matches, maxSessions }: SessionPageRequest): Promise<SessionRecordPage> {
    const walk = { owner, matches, scan: new KeyScan(this.#redis, owner) };
    const endsAt = performance.now() + maxMs;
    const sessions: SessionRecord[] = [];
    let position: ScanPosition | undefined = await walk.scan.begin(cursor);
    for (let steps = 0; position !== undefined && steps < maxSteps; steps++) {
      const from: ScanPosition = position;
      const room = maxSessions - sessions.length;
      if (room === 0 || performance.now() > endsAt) break;
      const portion = await this.#turns.run(() => this.#take(walk, from, room, steps === 0));
      if (portion === undefined) break;
      sessions.push(...portion.sessions);
      position = portion.next;
    }
    return { sessions, ...(position !== undefined && { cursor: formatPosition(position) }) };
  }

  async find(ids: readonly string[]): Promise<(SessionRecord | undefined)[]> {
    const found: (SessionRecord | undefined)[] = [];
    for (let start = 0; start < ids.length; start += stepLength) {
      found.push(...(await this.#turns.run(() => this.#read(ids.slice(start, start + stepLength)))));
    }
    return found;
  }

  async recordClients(addresses: ReadonlyMap<string, string>): Promise<void> {
    const inputs = [...addresses].map(([id, address]) => ({ id, address }));
    for (let start = 0; start < inputs.length; start += stepLength) {
      const some = inputs.slice(start, start + stepLength);
      await this.#turns.run(() => this.#redis.runForEach("recordClients", recordClientScript, some));
    }
  }

  /** One step of a walk. Undefined when it does not fit, and has to begin the next page. */
  async #take(
    { scan, owner, matches }: Walk,
    from: ScanPosition,
    room: number,
    isFirst: boolean,
  ): Promise<Portion | undefined> {
    for (let count = firstCount(from, room, matches !== undefined); ; count = Math.ceil(count / 8)) {
      const { ids, next, isWhole } = await scan.step(from, count);
      const found = await this.#read(ids);
      if (owner !== undefined) this.#removeGone(owner, ids, found);
      const sessions = found.filter((session) => isOf(session, owner));
      const matching = matches === undefined ? sessions : sessions.filter(matches);
      if (matching.length <= room) return { sessions: matching, next };
      // Taken in part, a step is repeated for the next page. Should the server have shrunk its table by then, a step over
      // several buckets would have other ids; one over the smallest number of buckets, or over all, has not.
      if (count > 1 && !isWhole && from.count === 0) continue;
      if (!isWhole && !isFirst) return undefined;
      const taken = matching.slice(0, room);
      return { sessions: taken, next: { ...from, count, after: taken.at(-1)!.id } };
    }
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

/** How many ids the first attempt of a step asks for. The first step of a part may find all of its sessions. */
function firstCount({ count, cursor }: ScanPosition, room: number, isFiltered: boolean): number {
  if (count > 0) return count;
  if (isFiltered || cursor === "0") return stepLength;
  return Math.max(1, Math.min(stepLength, room - surplus));
}

function isOf(session: SessionRecord | undefined, owner: string | undefined): session is SessionRecord {
  if (session === undefined) return false;
  return owner === undefined ? session.owner !== probeOwner : session.owner === owner;
}
