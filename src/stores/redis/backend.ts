import { EventEmitter } from "node:events";
import { Cluster, type Redis } from "ioredis";
import type { Backend, BackendFacts, EndsSubscription } from "../../domain/backend.ts";
import { LeaseCounts } from "../../domain/lease-counts.ts";
import type { LoginTerms } from "../../domain/login-store.ts";
import type { LeaseTerms } from "../../domain/session.ts";
import { RedisConnection, type RedisConnectionOptions } from "./connection.ts";
import { endsChannel } from "./keys.ts";
import { Probe } from "./probe.ts";
import { RedisBandwidthStore } from "./redis-bandwidth-store.ts";
import { RedisLinkKeyStore } from "./redis-link-key-store.ts";
import { RedisLoginStore } from "./redis-login-store.ts";
import { RedisPreparationStore } from "./redis-preparation-store.ts";
import { RedisReplicaStore } from "./redis-replica-store.ts";
import { RedisSessionChanges } from "./redis-session-changes.ts";
import { RedisSessionFileStore } from "./redis-session-file-store.ts";
import { RedisSessionRecordStore } from "./redis-session-record-store.ts";
import { RedisSessionStore } from "./redis-session-store.ts";
import { RedisSettingsStore } from "./redis-settings-store.ts";
import type { Subscription } from "./subscriber.ts";

export interface RedisBackendOptions extends RedisConnectionOptions {
  readonly leaseTerms: LeaseTerms;
  readonly loginTerms: LoginTerms;
  readonly leaseCounts?: LeaseCounts;
}

/** Everything in Redis 7 or newer: a single server, Sentinel or Cluster. */
export class RedisBackend implements Backend {
  readonly connection: RedisConnection;
  readonly sessions: RedisSessionStore;
  readonly sessionFiles: RedisSessionFileStore;
  readonly sessionRecords: RedisSessionRecordStore;
  readonly sessionChanges: RedisSessionChanges;
  readonly logins: RedisLoginStore;
  readonly preparations: RedisPreparationStore;
  readonly linkKeys: RedisLinkKeyStore;
  readonly settings: RedisSettingsStore;
  readonly bandwidth: RedisBandwidthStore;
  readonly replicas: RedisReplicaStore;
  readonly #watchers = new EventEmitter<{ ended: [sessionId: string]; established: [] }>().setMaxListeners(0);
  readonly #probe: Probe;
  /** Starts with the first watcher, and stays. */
  #ends: Subscription | undefined;

  /**
   * Connects in the background and never gives up.
   *
   * @throws Error when the URL is invalid
   */
  constructor(
    url: string,
    { leaseTerms, loginTerms, leaseCounts = new LeaseCounts(), ...options }: RedisBackendOptions,
  ) {
    this.connection = RedisConnection.open(url, options);
    this.sessions = new RedisSessionStore(this.connection, leaseTerms, leaseCounts);
    this.sessionFiles = new RedisSessionFileStore(this.connection, leaseTerms, leaseCounts);
    this.sessionRecords = new RedisSessionRecordStore(this.connection, this.sessions.index);
    this.sessionChanges = new RedisSessionChanges(this.connection);
    this.logins = new RedisLoginStore(this.connection, loginTerms);
    this.preparations = new RedisPreparationStore(this.connection);
    this.#probe = new Probe(this.connection);
    this.linkKeys = new RedisLinkKeyStore(this.connection);
    this.settings = new RedisSettingsStore(this.connection);
    this.bandwidth = new RedisBandwidthStore(this.connection);
    this.replicas = new RedisReplicaStore(this.connection);
  }

  watchEnds(ended: (sessionId: string) => void, established: () => void = () => {}): EndsSubscription {
    this.#watchers.on("ended", ended).on("established", established);
    this.#ends ??= this.connection.subscriber.listen(endsChannel, {
      heard: (sessionId) => this.#watchers.emit("ended", sessionId),
      established: () => this.#watchers.emit("established"),
    });
    const subscription = this.#ends;
    return {
      get isReliable() {
        return subscription.isEstablished;
      },
      stop: () => {
        this.#watchers.off("ended", ended).off("established", established);
      },
    };
  }

  probe(): Promise<void> {
    return this.#probe.run();
  }

  /** On a cluster that of all masters together. */
  async describe(): Promise<BackendFacts> {
    const { client } = this.connection;
    const isCluster = client instanceof Cluster;
    const servers = isCluster ? client.nodes("master") : [client];
    const infos = await this.connection.guard(Promise.all(servers.map(memoryInfo)));
    const sum = (field: string) =>
      infos.reduce((total, info) => total + Number(new RegExp(`^${field}:(\\d+)`, "m").exec(info)?.[1]), 0);
    const [used, max] = [sum("used_memory"), sum("maxmemory")];
    return {
      kind: isCluster ? "Redis Cluster" : "Redis",
      usedBytes: Number.isNaN(used) ? undefined : used,
      maxBytes: max > 0 ? max : undefined,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sessionChanges.close();
    this.connection.close();
  }
}

/** Empty where access rules forbid it, which is an answer as well. */
async function memoryInfo(server: Redis): Promise<string> {
  try {
    return await server.info("memory");
  } catch (error) {
    if (error instanceof Error && error.name === "ReplyError") return "";
    throw error;
  }
}
