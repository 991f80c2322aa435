import { randomUUID } from "node:crypto";
import { Cluster } from "ioredis";
import { noRoles } from "../../domain/roles.ts";
import { StoreTime } from "../../domain/store-time.ts";
import type { RedisConnection } from "./connection.ts";
import { slotOf } from "./ioredis-internals.ts";
import { sessionKey } from "./keys.ts";
import {
  createSessionScript,
  deleteSessionScript,
  finishSessionScript,
  keepAliveScript,
  settleIndexScript,
  takePlaceScript,
} from "./session-scripts.ts";

/** No principal is called this, so that no caller sees a session of a probe. */
export const probeOwner = "\u0000";
const caller = { principal: probeOwner, roles: noRoles };
/** What a process leaves behind that dies while it probes. */
const leaseMs = 10_000;
/** Sessions that are tried before a master counts as one without slots of its own. */
const maxTries = 4_096;

/**
 * Lives the life of a session with the scripts that all sessions use, because a PING says nothing about memory, disks,
 * access rights or the role of the server. On a cluster it does so on every master. Costs some six commands a master.
 */
export class Probe {
  readonly #redis: RedisConnection;
  readonly #id = randomUUID();

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  /** One request after the other in the time of one call, as a creation needs: a slow Redis may allow keep-alives only. */
  async run(): Promise<void> {
    const time = new StoreTime();
    await time.wait(this.#index());
    await time.wait(Promise.all(this.#ids().map((id) => this.#live(id))));
  }

  /** Commands for one key run in order, so that none has to wait. */
  async #live(id: string): Promise<void> {
    const redis = this.#redis;
    const session = { id, owner: probeOwner, libraryItemId: "probe", contentVersion: "probe" };
    const end = { id, caller, state: "CANCELED", retentionMs: leaseMs, errorMessage: undefined } as const;
    await Promise.all([
      redis.tryReplicated(createSessionScript, { ...session, leaseMs, place: "1" }),
      redis.try(keepAliveScript, { id, caller, leaseMs, progress: 1 }),
      redis.tryReplicated(finishSessionScript, end),
      redis.tryReplicated(deleteSessionScript, { id, caller }),
    ]);
  }

  async #index(): Promise<void> {
    const [id, redis] = [this.#id, this.#redis];
    await Promise.all([
      redis.try(takePlaceScript, { owner: probeOwner, id, max: 0, keptMs: leaseMs }),
      redis.try(settleIndexScript, {
        owner: probeOwner,
        sessions: [{ id, expiresAt: 0 }],
        heldMs: 0,
        length: 0,
      }),
    ]);
  }

  /** One session for each master. */
  #ids(): string[] {
    const { client } = this.#redis;
    if (!(client instanceof Cluster)) return [this.#id];
    const masters = new Set(client.slots.map(([master]) => master));
    const ids = new Map<string | undefined, string>();
    for (let n = 0; n < maxTries && (n === 0 || ids.size < masters.size); n++) {
      const id = `${this.#id} ${n}`;
      const master = client.slots[slotOf(sessionKey(id))]?.[0];
      if (!ids.has(master)) ids.set(master, id);
    }
    return [...ids.values()];
  }
}
