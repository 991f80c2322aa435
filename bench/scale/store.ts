/** A Redis Cluster with many sessions. */
import { once } from "node:events";
import { connect } from "node:net";
import { Redis } from "ioredis";
import { slotOf } from "../../src/stores/redis/ioredis-internals.ts";
import { ownerIndexKey, sessionKey } from "../../src/stores/redis/keys.ts";
import { indexKeptMs } from "../../src/stores/redis/owner-index.ts";
import { encodeCall } from "../../src/stores/redis/run-script.ts";
import type { Script } from "../../src/stores/redis/scripts.ts";
import { createSessionScript, takePlaceScript } from "../../src/stores/redis/session-scripts.ts";
import { type RedisCluster, startCluster } from "../../test/support/redis-server.ts";
import { cpuNanosOfTree } from "../process-figures.ts";

/** As the service is started with: no session ends while it is measured. */
export const leaseSeconds = 3_600;
const sessionsPerOwner = 100;
/** Calls that are written to a socket together. */
const callsTogether = 500;

export interface StoreUsage {
  readonly keys: number;
  /** `used_memory` of all masters. */
  readonly bytes: number;
  /** Of clients, to all masters. */
  readonly connections: number;
}

/** The store of the study. Its sessions belong to many owners, each of which has a hundred. */
export class SessionCluster implements AsyncDisposable {
  readonly url: string;
  readonly sessionIds: string[] = [];
  readonly #cluster: RedisCluster;
  readonly #clients: readonly Redis[];

  private constructor(cluster: RedisCluster) {
    this.url = cluster.url;
    this.#cluster = cluster;
    this.#clients = cluster.nodes.map(({ url }) => new Redis(url));
  }

  static async start(masters: number): Promise<SessionCluster> {
    return new SessionCluster(await startCluster(masters));
  }

  /** Creates sessions until there are so many, with the calls that the service makes, past the service. */
  async fill(sessions: number): Promise<void> {
    await this.#eachScript(createSessionScript, takePlaceScript);
    const missing = sessions - this.sessionIds.length;
    const before = this.sessionIds.length;
    for (let n = 0; n < missing; n++) this.sessionIds.push(crypto.randomUUID());
    const ports = this.#cluster.nodes.map(({ port }) => port);
    const filling = ports.map((port, master) => send(port, this.#callsFor(master, before)));
    await Promise.all(filling);
    const expected = sessions + Math.ceil(sessions / sessionsPerOwner);
    const { keys } = await this.usage();
    if (keys < expected) throw new Error(`the cluster has ${keys} keys in place of ${expected}`);
  }

  async usage(): Promise<StoreUsage> {
    const [keys, bytes, connections] = await this.#sumsOf([
      /^db0:keys=(\d+)/m,
      /^used_memory:(\d+)/m,
      /^connected_clients:(\d+)/m,
    ]);
    return { keys: keys!, bytes: bytes!, connections: connections! - this.#clients.length };
  }

  /** Bytes that all masters have received and sent so far, besides those of replication and of the cluster. */
  async networkBytes(): Promise<number> {
    const sums = await this.#sumsOf([/^total_net_input_bytes:(\d+)/m, /^total_net_output_bytes:(\d+)/m]);
    return sums[0]! + sums[1]!;
  }

  /** CPU time of all masters so far. */
  cpuNanos(): number {
    return this.#cluster.nodes.reduce((sum, { pid }) => sum + cpuNanosOfTree(pid), 0);
  }

  /** A field of a session's hash. */
  field(id: string, name: string): Promise<unknown> {
    return this.call("HGET", sessionKey(id), name);
  }

  /** Runs a command at the master that has the key. */
  async call(name: string, key: string, ...args: (string | number)[]): Promise<unknown> {
    return this.#clients[this.#masterOf(key)]!.call(name, key, ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.#cluster.stop();
  }

  /** Each master gets the calls for its keys, so that all of them work at once. */
  *#callsFor(master: number, from: number): Generator<string> {
    const place = `${Date.now()}000`;
    for (let index = from; index < this.sessionIds.length; index++) {
      const id = this.sessionIds[index]!;
      const owner = `owner-${Math.floor(index / sessionsPerOwner)}`;
      const session = { id, owner, libraryItemId, contentVersion, place, leaseMs: leaseSeconds * 1000 };
      const indexed = { id, owner, max: 0, keptMs: indexKeptMs, place };
      if (this.#masterOf(ownerIndexKey(owner)) === master) yield callOf(takePlaceScript, indexed);
      if (this.#masterOf(sessionKey(id)) === master) yield callOf(createSessionScript, session);
    }
  }

  /** Sums of a number in INFO over all masters. */
  async #sumsOf(patterns: readonly RegExp[]): Promise<number[]> {
    const infos = await Promise.all(this.#clients.map((client) => client.info()));
    return patterns.map((pattern) =>
      infos.reduce((total, info) => total + Number(pattern.exec(info)?.[1] ?? 0), 0),
    );
  }

  async #eachScript(...scripts: readonly { readonly text: string }[]): Promise<void> {
    for (const client of this.#clients) for (const { text } of scripts) await client.script("LOAD", text);
  }

  /** As `startCluster` deals the slots. */
  #masterOf(key: string): number {
    return Math.floor((slotOf(key) * this.#clients.length) / slots);
  }
}

const slots = 16_384;
const libraryItemId = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
const contentVersion = "0123456789abcdef";

function callOf<Input>(script: Script<Input, unknown>, input: Input): string {
  return encodeCall(script, "evalsha", script.key(input), script.args(input));
}

/** Sends calls without their answers, then waits until all are done. */
async function send(port: number, calls: Iterable<string>): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const write = async (text: string) => {
    if (!socket.write(text, "latin1")) await once(socket, "drain");
  };
  try {
    await write("CLIENT REPLY OFF\r\n");
    let together: string[] = [];
    for (const call of calls) {
      if (together.push(call) < callsTogether) continue;
      await write(together.join(""));
      together = [];
    }
    await write(together.join(""));
    const answered = once(socket, "data");
    await write("CLIENT REPLY ON\r\n");
    await answered;
  } finally {
    socket.destroy();
  }
}
