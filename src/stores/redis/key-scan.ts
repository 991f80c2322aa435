import { Cluster, Redis } from "ioredis";
import { ServiceError } from "../../domain/errors.ts";
import type { RedisConnection } from "./connection.ts";
import { slotOf } from "./ioredis-internals.ts";
import { type KeyKind, ownerIndexKey } from "./keys.ts";

/** Where a scan stands, between two of its steps. */
export interface ScanPosition {
  /** Any slot of the part of the keys: of a master of a cluster. Without a cluster it has no meaning. */
  readonly slot: number;
  /** The run of the server that returned the cursor: no other one understands it. */
  readonly run: string;
  readonly cursor: string;
  /** The next step skips the ids up to this one, which were taken already. Empty for none. */
  readonly after: string;
  /** How many ids the step asked for that was taken in part; 0 for none. */
  readonly count: number;
}

export interface ScanStep {
  /** In their own order, so that a step can be taken in several portions. */
  readonly ids: readonly string[];
  /** Undefined when everything is scanned. */
  readonly next: ScanPosition | undefined;
  /** Whether this step alone has all ids of its part. */
  readonly isWhole: boolean;
}

const beginning = { run: "", cursor: "0", after: "", count: 0 };
const positionPattern = /^(\d{1,5}) ([0-9a-f]{0,64}) (\d{1,20}) (\d{1,4}) (.{0,256})$/s;
const maxCursor = 2n ** 64n;
/** Of a cluster. */
const slots = 16_384;

/** How many ids a step may ask for: Redis serves nobody else while it looks for them. */
export const maxCount = 1000;

/** All keys of a kind, or the sessions in the index of an owner. */
export type ScannedKeys = KeyKind | { readonly owner: string };

/**
 * Scans ids: those of all keys of a kind, on a cluster master by master in the order of their first slots, or those of
 * sessions in the index of an owner. A server that has restarted or failed over is scanned from its beginning again, because it
 * does not understand a cursor of before: sessions come twice rather than never. Keys in slots that move to another
 * master meanwhile may be missing.
 */
export class KeyScan {
  readonly #redis: RedisConnection;
  readonly #keys: ScannedKeys;

  constructor(redis: RedisConnection, keys: ScannedKeys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** @param cursor what `formatPosition` returned; unset for the beginning */
  async begin(cursor: string | undefined): Promise<ScanPosition> {
    const position = cursor === undefined ? this.#beginning() : parsePosition(cursor);
    const run = await this.#redis.guard(runOf(this.#masterOf(position.slot)));
    return run === position.run ? position : { ...position, ...beginning, run };
  }

  /** @param count about how many ids */
  async step(position: ScanPosition, count: number): Promise<ScanStep> {
    const [cursor, found] = await this.#redis.guard(this.#scan(position, count));
    const ids = found.sort().filter((id) => id > position.after);
    if (cursor !== beginning.cursor) {
      return { ids, next: { ...position, cursor, after: "", count: 0 }, isWhole: false };
    }
    return { ids, next: await this.#following(position), isWhole: position.cursor === beginning.cursor };
  }

  #beginning(): ScanPosition {
    const keys = this.#keys;
    return { slot: "owner" in keys ? slotOf(ownerIndexKey(keys.owner)) : 0, ...beginning };
  }

  async #scan({ slot, cursor }: ScanPosition, count: number): Promise<[cursor: string, ids: string[]]> {
    const keys = this.#keys;
    if ("owner" in keys) {
      const key = ownerIndexKey(keys.owner);
      const [next, entries] = await this.#redis.client.zscan(key, cursor, "COUNT", count);
      return [next, entries.filter((_, index) => index % 2 === 0)];
    }
    const node = this.#masterOf(slot);
    const [next, found] = await node.scan(cursor, "MATCH", keys.pattern, "COUNT", count, "TYPE", "hash");
    return [next, found.map(keys.idOf)];
  }

  /** The beginning of the next master's keys. */
  async #following({ slot }: ScanPosition): Promise<ScanPosition | undefined> {
    const { client } = this.#redis;
    if ("owner" in this.#keys || !(client instanceof Cluster)) return undefined;
    const firstSlots = new Map<string | undefined, number>();
    for (const [each, [master]] of client.slots.entries()) {
      if (!firstSlots.has(master)) firstSlots.set(master, each);
    }
    const first = firstSlots.get(client.slots[slot]?.[0]) ?? slot;
    const next = [...firstSlots.values()].find((each) => each > first);
    if (next === undefined) return undefined;
    const run = await this.#redis.guard(runOf(this.#masterOf(next)));
    return { slot: next, ...beginning, run };
  }

  /** @throws ServiceError `downlease.store.unavailable` when the cluster has no master for the slot */
  #masterOf(slot: number): Redis {
    const { client } = this.#redis;
    if (client instanceof Redis) return client;
    const name = client.slots[slot]?.[0];
    const master = client.nodes("master").find(({ options: { host, port } }) => `${host}:${port}` === name);
    if (master !== undefined) return master;
    throw new ServiceError("downlease.store.unavailable", [], new Error(`slot ${slot} has no master`));
  }
}

export function formatPosition({ slot, run, cursor, count, after }: ScanPosition): string {
  return `${slot} ${run} ${cursor} ${count} ${after}`;
}

/** @throws ServiceError `downlease.page.token` */
function parsePosition(text: string): ScanPosition {
  const [, slot, run, cursor, count, after] = positionPattern.exec(text) ?? [];
  const isPosition =
    cursor !== undefined && BigInt(cursor) < maxCursor && Number(slot) < slots && Number(count) <= maxCount;
  if (!isPosition) throw new ServiceError("downlease.page.token");
  return { slot: Number(slot), run: run!, cursor, count: Number(count), after: after! };
}

/** Changes whenever a server starts. */
async function runOf(server: Redis): Promise<string> {
  return /run_id:([0-9a-f]+)/.exec(await server.info("server"))?.[1] ?? "";
}
