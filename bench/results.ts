/** What the studies measure, round by round. */
import type { LoadResult } from "./load.ts";

export interface Results {
  /** By driver and label of the row, see `rowName`. */
  readonly throughput: Map<string, ThroughputRound[]>;
  /** By driver. */
  readonly overload: Map<string, OverloadRound[]>;
  /** By group and server, see `rowName`. */
  readonly downloads: Map<string, DownloadRound[]>;
  /** By store. */
  readonly idle: Map<StoreName, IdleResult>;
}

export function rowName(driver: string, label: string): string {
  return `${driver}/${label}`;
}

/** One contender in one round. CPU time and memory are per heartbeat. */
export interface ThroughputRound {
  /** Heartbeats per second. */
  readonly rate: number;
  readonly cpuMicros: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly allocatedBytes: number;
  /** Milliseconds. */
  readonly loopDelayP99: number;
  /** CPU time of the load generator; must be small beside the contender's. */
  readonly generatorMicros: number;
}

export interface OverloadRound {
  /** A closed loop with the usual number of callers; its rate is the maximum that the other fields refer to. */
  readonly maximum: LoadResult;
  /** An open loop at half of the maximum. */
  readonly half: LoadResult;
  /** An open loop at five times the maximum and with five times the callers: more than the service admits at a time. */
  readonly fivefoldRate: LoadResult;
  /** A closed loop with five times the callers, who call again at once when they are turned away. */
  readonly fivefoldCallers: LoadResult;
}

/** One server in one round. */
export interface DownloadRound {
  /** GiB per second. */
  readonly rate: number;
  /** CPU seconds of the server per GiB. */
  readonly cpu: number;
  /** Peak resident memory of the server, in MiB. */
  readonly peak: number;
  /** CPU seconds of the client per GiB. */
  readonly clientCpu: number;
}

export const storeNames = ["Redis", "SQLite"] as const;
export type StoreName = (typeof storeNames)[number];

/** CPU time of idle processes, in milliseconds per second. */
export interface IdleResult {
  readonly without: number;
  readonly withSessions: number;
  /** CPU time of Redis beside the process with sessions; undefined for another store. */
  readonly redis: number | undefined;
}
