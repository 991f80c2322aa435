import type { Census } from "./census.ts";
import type { LeaseTotals } from "./lease-counts.ts";

/** One process that serves. Rates are those of its last seconds. */
export interface Replica {
  /** Its host and port, and its worker if there are several. */
  readonly name: string;
  readonly version: string;
  /** For example `http://127.0.0.1:8080`. */
  readonly address: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly isReady: boolean;
  readonly callsPerSecond: number;
  /** Downloads that it is sending. */
  readonly downloads: number;
  readonly bytesPerSecond: number;
  /** Open connections. */
  readonly connections: number;
  readonly grantedPerSecond: number;
  readonly renewedPerSecond: number;
}

export interface SeenReplica extends Replica {
  /** When it last reported: milliseconds since the epoch, by the clock of the store. */
  readonly seenAt: number;
}

/** What the processes that share a store know of each other. */
export interface Fleet {
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly now: number;
  readonly totals: LeaseTotals;
  /** The latest; undefined before the first one. */
  readonly census: Census | undefined;
}

export interface ReplicaReport {
  readonly replica: Replica;
  /** What it has granted and ended since its last report. */
  readonly counted: LeaseTotals;
  /** Names what was counted, without blanks: when a report is repeated, it is added once. */
  readonly batch: string;
}

/** A replica that has not reported for so long is forgotten, and another one takes the census. */
export const replicaMs = 10_000;

/** More replicas than these do not report: what all read is bounded. They serve all the same. */
export const maxReplicas = 200;

/**
 * What the processes that share a store know of each other. A store that can't be reached rejects with a ServiceError
 * `downlease.store.unavailable` within a second.
 */
export interface ReplicaStore {
  /**
   * Reports a replica and adds what it has counted to the totals. When the call rejects, that may have been added: repeat
   * the batch then.
   * `takesCensus` says whether the census is this replica's: it is one replica's at a time, as long as that one reports.
   */
  report(report: ReplicaReport): Promise<Fleet & { readonly takesCensus: boolean }>;

  /** The replicas by name, and the rest. */
  read(): Promise<Fleet & { readonly replicas: readonly SeenReplica[] }>;

  /** Keeps a census, if it is still the replica's. */
  recordCensus(name: string, census: Census): Promise<boolean>;

  /** Forgets a replica that stops. */
  leave(name: string): Promise<void>;
}
