import type { Requirement } from "../test/support/executables.ts";
import type { RedisServer } from "../test/support/redis-server.ts";
import type { DownloadRound } from "./studies/downloads.ts";
import type { IdleResult } from "./studies/idle-sessions.ts";
import type { OverloadRound } from "./studies/overload.ts";
import type { Round } from "./studies/throughput.ts";

/** Of the study of idle sessions. */
export interface IdleOptions {
  readonly sessions: number;
  /** Before they are watched: V8 collects what creating them left some seconds after the last of it. */
  readonly settleSeconds: number;
  /** For how long they are watched. */
  readonly seconds: number;
}

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly callers: number;
  readonly warmUpSeconds: number;
  /** Numbers of sessions for the study of sessions. */
  readonly sessionCounts: readonly number[];
  /** Size of the file that is downloaded. */
  readonly downloadBytes: number;
  readonly idle: IdleOptions;
}

/** What the studies of a run share. */
export interface Bench {
  readonly options: Options;
  readonly redis: RedisServer;
  /** Sessions that stay alive for the whole run. */
  readonly sessionIds: readonly string[];
  /** For files of the run. */
  readonly directory: string;
  readonly results: Results;
  progress(text: string): void;
}

/** What was measured, round by round. */
export interface Results {
  /** By driver and the row's label, see `rowName`. */
  readonly throughput: Map<string, Round[]>;
  /** By driver. */
  readonly overload: Map<string, OverloadRound[]>;
  /** By group and server, see `rowName`. */
  readonly downloads: Map<string, DownloadRound[]>;
  /** By store. */
  readonly idle: Map<string, IdleResult>;
}

export interface Table {
  /** As in the marks of docs/performance.md. */
  readonly name: string;
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Study {
  /** For `--only`. */
  readonly name: string;
  /** Names of the tables it gives. */
  readonly tables: readonly string[];
  /** What it needs besides Redis. */
  readonly needs?: readonly Requirement[];
  run(bench: Bench): Promise<readonly Table[]>;
}

export function rowName(driver: string, label: string): string {
  return `${driver}/${label}`;
}
